"""What people read of a battery while it runs, and when it is over."""

from __future__ import annotations

from contracts.readable import shown
from master_bridge.core.battery.battery import BatteryMachine

#: Units that a summary names.
NAMED = 5
NAME_MAX = 60


def progress(battery: BatteryMachine, now: float, waits: str = "waits for agents") -> str:
    """ "412 of 980 units, 3 failed, 8 agents, about 40 s left". `waits`: what is said while no agent runs anything."""
    counts, total = battery.counts, len(battery.units)
    parts = [f"{counts.settled} of {total} unit{'s' if total != 1 else ''}"]
    parts += _bad(battery)
    agents = battery.agents
    parts.append(f"{agents} agent{'s' if agents != 1 else ''}" if agents else waits)
    left = seconds_left(battery, now)
    if left is not None:
        parts.append(f"about {duration(left)} left")
    return ", ".join(parts)


def seconds_left(battery: BatteryMachine, now: float) -> float | None:
    """At the speed of all agents so far; None: nothing has ended yet."""
    done = battery.settled_weight
    if battery.began is None or not done or now <= battery.began:
        return None
    speeds = battery.estimates.speeds
    half_done = sum(
        min((now - item.since) * speeds.of(item.agent), item.weight)
        for item in battery.running.values()
        if item.shard.seconds is not None
    )
    left = max(0.0, battery.weight - done - half_done)
    return left * (now - battery.began) / (done + half_done)


def summary(battery: BatteryMachine) -> str:
    """ "980 units, 3 failed (a, b, c)", or what was not run."""
    total, rest = len(battery.units), len(battery.units) - battery.counts.settled
    parts = [f"{total} unit{'s' if total != 1 else ''}", *_bad(battery)]
    if battery.counts.skipped:
        parts.append(f"{battery.counts.skipped} skipped")
    if rest:
        parts.append(f"{rest} not run")
    if battery.unusable:
        parts.append(f"{battery.unusable} report{'s' if battery.unusable != 1 else ''} could not be used")
    results = battery.results  # in the order in which they came, which differs from run to run
    names = [unit for unit in battery.units if unit in results and results[unit].outcome.bad]
    text = ", ".join(parts)
    if names:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        text += f" ({', '.join(_short(name) for name in names[:NAMED])}{more})"
    return text


def _bad(battery: BatteryMachine) -> list[str]:
    counts = battery.counts
    found = [(counts.failed, "failed"), (counts.killers, "of them ended their machines"), (counts.flaky, "flaky")]
    return [f"{count} {what}" for count, what in found if count]


def _short(name: str) -> str:
    """On one line, its end, which differs where names begin alike."""
    name = shown(name)
    return name if len(name) <= NAME_MAX else f"…{name[-NAME_MAX:]}"


def duration(seconds: float) -> str:
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
