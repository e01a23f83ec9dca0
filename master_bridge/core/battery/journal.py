"""What a battery was told, as lines of JSON: a master that was killed makes its battery again from them.

Each input is written before it is handled, and with its time: handled again they give the same shards with the same
numbers, so that agents that still run them are known by them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from master_bridge.core.battery.battery import BatteryMachine, Plan
from master_bridge.core.battery.events import (
    FleetSize,
    Input,
    ShardEnded,
    ShardLost,
    ShardReturned,
    ShardTaken,
    Stopped,
    UnitReport,
)

#: Lines of another version are not read: other code would make other shards of them.
VERSION = 2
_INPUTS: dict[str, type[Input]] = {
    "fleet": FleetSize,
    **{kind.__name__.lower(): kind for kind in (ShardTaken, ShardEnded, ShardLost, ShardReturned, Stopped)},
}

_NAMES = {kind: name for name, kind in _INPUTS.items()}


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """The first line: all that a battery is made of. `key`: what is tested, so that a changed step begins anew."""

    key: str
    units: tuple[str, ...]
    timings: Mapping[str, float]
    speeds: Mapping[str, float]
    plan: Plan

    def battery(self) -> BatteryMachine:
        return BatteryMachine(self.units, timings=self.timings, speeds=self.speeds, plan=self.plan)


def beginning_line(beginning: Beginning) -> str:
    return json.dumps({"v": VERSION, **asdict(beginning)})


def input_line(event: Input, now: float) -> str:
    return json.dumps({"t": _NAMES[type(event)], "now": now, **asdict(event)})


def read(lines: Iterable[str]) -> tuple[Beginning, BatteryMachine] | None:
    """The battery as it stood after the last whole line; None: there is no beginning, or one of another version.

    A line that is no JSON is passed over: it was being written when the master died, and so was not handled.
    """
    rows = _rows(lines)
    first = next(rows, None)
    if first is None or first.get("v") != VERSION:
        return None
    try:
        beginning = Beginning(
            key=str(first["key"]),
            units=tuple(map(str, first["units"])),
            timings={str(unit): float(seconds) for unit, seconds in first["timings"].items()},
            speeds={str(agent): float(speed) for agent, speed in first["speeds"].items()},
            plan=Plan(**first["plan"]),
        )
        battery = beginning.battery()
        for row in rows:
            if row.get("t") in _INPUTS:
                battery.handle(_input(row), float(row["now"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return beginning, battery


def _rows(lines: Iterable[str]) -> Any:
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            yield row


def _input(row: dict[str, Any]) -> Input:
    values = {name: value for name, value in row.items() if name not in ("t", "now")}
    kind = _INPUTS[row["t"]]
    if kind is ShardEnded:
        values["reports"] = {unit: UnitReport(**report) for unit, report in values["reports"].items()}
    return kind(**values)
