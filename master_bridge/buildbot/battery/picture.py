"""Who ran what when, as an SVG in a page of its own. Pure."""

from __future__ import annotations

from html import escape

from contracts.readable import shown
from master_bridge.core.battery.battery import BatteryMachine
from master_bridge.core.battery.events import ShardSpan
from master_bridge.core.battery.progress import duration

#: Pixels.
_WIDTH, _LEFT, _ROW, _TOP = 1000, 160, 22, 34
#: Lanes and shards that are drawn.
LANES_MAX = 200
SPANS_MAX = 5_000
_COLOURS = {"passed": "#4c9f70", "failed": "#c8553d", "lost": "#8d99ae"}


def picture(battery: BatteryMachine) -> str:
    """A row for each session that an agent had at one time, a bar for each shard."""
    spans = battery.spans[:SPANS_MAX]
    lanes = _lanes(spans)[:LANES_MAX]
    began, ended = min(span.began for span in spans), max(span.ended for span in spans)
    scale = (_WIDTH - _LEFT - 20) / max(0.001, ended - began)
    height = _TOP + len(lanes) * _ROW + 34
    parts = _axis(ended - began, scale, height)
    for row, (agent, of_lane) in enumerate(lanes):
        y = _TOP + row * _ROW
        parts.append(f'<text x="4" y="{y + 14}">{escape(shown(agent, 22))}</text>')
        parts += [
            _bar(span, _LEFT + (span.began - began) * scale, (span.ended - span.began) * scale, y) for span in of_lane
        ]
    title = f"{len(battery.units)} units in {len(battery.spans)} shards, {duration(ended - began)}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'font-family="sans-serif" font-size="12" role="img" aria-label="{escape(title)}">'
        f'<rect width="100%" height="100%" fill="#ffffff"/><text x="4" y="18" font-size="14">{escape(title)}</text>'
        f"{_legend()}{''.join(parts)}</svg>"
    )


def _bar(span: ShardSpan, x: float, width: float, y: int) -> str:
    kind = "lost" if span.lost else "failed" if span.failed else "passed"
    failed = f", {span.failed} failed" if span.failed else ", lost" if span.lost else ""
    text = f"shard {span.shard} on {shown(span.agent)}: {span.units} units{failed}, {span.ended - span.began:.1f} s"
    return (
        f'<rect x="{x:.1f}" y="{y}" width="{max(1.0, width - 1):.1f}" height="{_ROW - 5}" rx="2" '
        f'fill="{_COLOURS[kind]}"><title>{escape(text)}</title></rect>'
    )


def _lanes(spans: list[ShardSpan]) -> list[tuple[str, list[ShardSpan]]]:
    """Spans of an agent that overlap are of different sessions of it."""
    lanes: list[tuple[str, list[ShardSpan]]] = []
    for span in sorted(spans, key=lambda span: (span.agent, span.began)):
        lane = next(
            (lane for agent, lane in lanes if agent == span.agent and lane[-1].ended <= span.began + 0.01), None
        )
        if lane is None:
            lanes.append((span.agent, [span]))
        else:
            lane.append(span)
    return lanes


def _axis(seconds: float, scale: float, height: int) -> list[str]:
    step = next((step for step in (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600) if seconds / step <= 10), 7200)
    return [
        f'<line x1="{_LEFT + at * scale:.1f}" x2="{_LEFT + at * scale:.1f}" y1="{_TOP - 4}" y2="{height - 24}" '
        f'stroke="#d0d0d0"/><text x="{_LEFT + at * scale:.1f}" y="{height - 8}" text-anchor="middle">{at} s</text>'
        for at in range(0, int(seconds) + 1, step)
    ]


def _legend() -> str:
    return "".join(
        f'<rect x="{_WIDTH - 250 + place * 80}" y="7" width="12" height="12" rx="2" fill="{colour}"/>'
        f'<text x="{_WIDTH - 234 + place * 80}" y="17">{name}</text>'
        for place, (name, colour) in enumerate(_COLOURS.items())
    )
