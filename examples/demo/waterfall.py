"""A picture of a trace, as Jaeger and its like show it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from examples.demo.collector import Seen

#: Whose spans have which colour; what failed has a red edge.
COLOURS = {"buildbot-master": "#3572b0", "worker-agent": "#2e9e6b"}
OTHER, FAILED = "#888888", "#c62828"
#: Pixels: of the whole, of the names, of a row, of what stands above and below the rows.
WIDTH, NAMES, ROW, HEAD, FOOT = 1180, 330, 20, 66, 12


def write(spans: Sequence[Seen], picture: Path, build: str) -> None:
    """Draw the trace of the first build of builder `build` as SVG."""
    root = min((span for span in spans if span.name == f"build {build}"), key=lambda span: span.start)
    below: dict[str, list[Seen]] = {}
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if span.trace == root.trace:
            below.setdefault(span.parent, []).append(span)
    rows = list(_rows(root, below, 0))
    begin = root.start
    scale = (WIDTH - NAMES - 90) / (max(span.end for span, _ in rows) - begin)
    height = HEAD + ROW * len(rows) + FOOT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'font-family="DejaVu Sans, Verdana, sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(12, 24, f"{root.name} · {_seconds(root.end - begin)} · trace {root.trace}", size=15),
    ]
    x = 12.0
    for service, colour in COLOURS.items():
        parts += [_bar(x, 38, 12, colour), _text(x + 18, 49, service)]
        x += 150
    for number, (span, depth) in enumerate(rows):
        y = HEAD + ROW * number
        left, wide = NAMES + (span.start - begin) * scale, max(2.0, (span.end - span.start) * scale)
        if number % 2 == 0:
            parts.append(f'<rect x="0" y="{y}" width="{WIDTH}" height="{ROW}" fill="#f5f7f9"/>')
        code = span.attributes.get("process.exit.code")
        said = _seconds(span.end - span.start) + (f", exit {code}" if code is not None else "")
        parts += [
            _text(12 + 14 * depth, y + 14, _cut(span.name)),
            _bar(left, y + 4, wide, COLOURS.get(span.service, OTHER), bad=span.failure is not None),
            _text(min(left + wide + 5, WIDTH - 86), y + 14, said, colour="#555555", size=11),
        ]
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_text("\n".join([*parts, "</svg>", ""]), encoding="utf-8")


def _rows(span: Seen, below: dict[str, list[Seen]], depth: int) -> Iterator[tuple[Seen, int]]:
    yield span, depth
    for child in below.get(span.id, ()):
        yield from _rows(child, below, depth + 1)


def _text(x: float, y: float, text: str, *, colour: str = "#222222", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size}">{escape(text)}</text>'


def _bar(x: float, y: float, width: float, colour: str, *, bad: bool = False) -> str:
    edge = f' stroke="{FAILED}" stroke-width="2"' if bad else ""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="12" rx="2" fill="{colour}"{edge}/>'


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def _cut(name: str) -> str:
    return name if len(name) <= 38 else f"{name[:37]}…"
