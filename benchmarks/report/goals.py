"""What ours is meant to reach, over RabbitMQ and over AMP, most as ratios to another peer in the same run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.report.figures import Figure


@dataclass(frozen=True, kw_only=True)
class Goal:
    """`of` is at most (where less is better) or at least (where more is) `times` what `peer` has.

    Without a peer, `times` is in the figure's own unit.
    """

    case: str
    what: str
    times: float
    peer: str | None = "PB"
    of: str = "ours"

    def __str__(self) -> str:
        return f"{self.times:g}" if self.peer is None else f"{self.times:g} times {self.peer}"


#: What is measured of AMP is to be as good as over RabbitMQ.
_OVER_AMP = (
    ("steps", "a `true` step"),
    ("log", "one build"),
    ("log", "8 builds at once"),
    ("dispatch", "request to first command"),
    ("many", "steps of 8 workers"),
    ("failover", "worker killed"),
    *((way, f"{size} KiB blocks") for way in ("upload", "download") for size in (16, 256, 1024)),
)

GOALS = (
    Goal(case="steps", what="a `true` step", times=0.35),
    Goal(case="steps", what="a `true` step", times=0.6, peer="PB-nodelay"),
    Goal(case="log", what="one build", times=6),
    Goal(case="log", what="8 builds at once", times=5),
    Goal(case="log", what="first line visible after", times=0.2, peer=None),
    Goal(case="many", what="steps of 8 workers", times=2),
    *(Goal(case="fanout", what=f"{crowd} workers", times=1.5) for crowd in (2, 8, 24)),
    *(Goal(case="fanout", what=f"CPU of the master, {crowd} workers", times=0.7) for crowd in (2, 8, 24)),
    *(Goal(case="fanout", what=f"CPU of a worker, {crowd} workers", times=2) for crowd in (2, 8, 24)),
    Goal(case="failover", what="worker's main process killed", times=3, peer=None),
    Goal(case="start", what="first, --auto-capabilities", times=3, peer=None),
    Goal(case="start", what="again, --auto-capabilities", times=1, peer=None),
    Goal(case="start", what="24 at once, --auto-capabilities", times=10, peer=None),
    *(Goal(case="wide", what=f"300 places: {what}", times=1) for what in ("first start", "start", "stop")),
    *(Goal(case="wide", what=f"1000 places: {what}", times=30, peer=None) for what in ("first start", "start")),
    Goal(case="wide", what="1000 places: stop", times=10, peer=None),
    *(
        Goal(case=way, what=f"{size} blocks", times=0.8, peer="raw broker")
        for way in ("upload", "download")
        for size in ("16 KiB", "256 KiB", "1024 KiB")
    ),
    *(
        Goal(case="thousands", what=f"broker's memory an agent, {agents} agents", times=0.15, peer=None, of=of)
        for agents in (1000, 5000)
        for of in ("ERL_FULLSWEEP_AFTER=0", "3 nodes, quorum queues, ERL_FULLSWEEP_AFTER=0")
    ),
    *(
        Goal(case="thousands", what="bridge killed until 1000 sessions are its successor's", times=15, peer=None, of=of)
        for of in ("1 node", "3 nodes, quorum queues")
    ),
    *(Goal(case=case, what=what, times=1, peer="ours", of="amp") for case, what in _OVER_AMP),
    Goal(case="steps", what="a `true` step", times=0.3, of="amp"),
    Goal(case="failover", what="worker killed", times=2, peer=None, of="amp"),
    *(Goal(case=way, what="256 KiB blocks", times=1, peer="PB-nodelay", of="amp") for way in ("upload", "download")),
)


def bound(goal: Goal, peers: Mapping[str, Figure]) -> float | None:
    """What the goal comes to in the figure's own unit; None: the other peer has no figure."""
    if goal.peer is None:
        return goal.times
    other = peers.get(goal.peer)
    return None if other is None or other.median is None else goal.times * other.median


def goals_of(case: str, what: str) -> list[Goal]:
    return [goal for goal in GOALS if (goal.case, goal.what) == (case, what)]


#: What is measured of a quantity that is meant to stay as it is, after its name and a comma: growth an hour. The ends
#: of its 95 % confidence interval are the figure's spread.
GROWTH = "growth"


def flat(figure: Figure) -> bool | None:
    """Growth cannot be shown: its confidence interval has zero in it, or is below. None: it is another figure."""
    if not figure.what.endswith(f", {GROWTH}") or figure.spread is None:
        return None
    return figure.spread[0] <= 0
