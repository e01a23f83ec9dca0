"""Numbers of a run: medians, their spread, and ratios between peers."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured thing of one peer. `values`: one a round; empty when `failure` says why there is none.

    `better` is "less" or "more". `when`: of an earlier run than the case's other figures, UTC.
    """

    case: str
    what: str
    peer: str
    unit: str
    better: str
    values: tuple[float, ...] = ()
    failure: str | None = None
    when: str | None = None

    @property
    def median(self) -> float | None:
        return statistics.median(self.values) if self.values else None

    @property
    def spread(self) -> tuple[float, float] | None:
        return (min(self.values), max(self.values)) if self.values else None

    def as_json(self) -> dict[str, Any]:
        return {
            "case": self.case, "what": self.what, "peer": self.peer, "unit": self.unit, "better": self.better,
            "median": self.median, "spread": self.spread, "values": list(self.values), "failure": self.failure,
            **({} if self.when is None else {"when": self.when}),
        }  # fmt: skip

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Figure:
        return cls(
            case=row["case"], what=row["what"], peer=row["peer"], unit=row["unit"], better=row["better"],
            values=tuple(row["values"]), failure=row["failure"], when=row.get("when"),
        )  # fmt: skip


class Wrong(Exception):
    """What arrived is not what was sent: a figure of it does not count. The message says what differs."""


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which `part` (0 … 1) of `values` lie; of few values, the next larger one."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def ratio(one: Figure | None, other: Figure | None) -> float | None:
    """Median by median; None where either is missing."""
    if one is None or other is None or not one.median or not other.median:
        return None
    return one.median / other.median
