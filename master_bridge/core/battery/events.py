"""What a battery is told (inputs) and what it asks for (actions). Times are the caller's seconds since the epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal, Union


class Outcome(str, Enum):
    """Of a unit."""

    PASSED = "passed"
    SKIPPED = "skipped"
    FAILED = "failed"
    #: it failed, and passed when it ran again
    FLAKY = "flaky"
    #: the machines that ran it were lost, one after the other
    KILLER = "killer"

    @property
    def bad(self) -> bool:
        return self in (Outcome.FAILED, Outcome.KILLER)


@dataclass(frozen=True, kw_only=True)
class UnitReport:
    """What one run of a shard tells of one unit. "unknown": its command failed; nothing tells whether by this unit."""

    outcome: Literal["passed", "skipped", "failed", "unknown"]
    #: its own; None: nobody measured it
    seconds: float | None = None
    #: for people: what failed
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Units that one agent runs with one command. Numbers are never used again.

    It is a number until an agent has come: how much work it is depends on how fast that agent is.
    """

    number: int
    units: tuple[str, ...]
    #: expected, in seconds; None: nothing is known
    seconds: float | None
    #: how often these units were lost with their machine, together
    losses: int = 0


@dataclass(frozen=True, kw_only=True)
class UnitResult:
    """The one result of a unit that counts."""

    unit: str
    outcome: Outcome
    seconds: float | None
    detail: str
    #: who ran it last, and in which shard
    agent: str
    shard: int
    #: how often it ran to an end
    runs: int


@dataclass(frozen=True, kw_only=True)
class ShardSpan:
    """One stay of a shard on an agent, for a picture."""

    shard: int
    agent: str
    began: float
    ended: float
    units: int
    #: how many of them failed in it
    failed: int
    lost: bool


# ---- inputs


@dataclass(frozen=True, kw_only=True)
class FleetSize:
    """So many sessions can the agents that qualify hold at once, in all."""

    slots: int


@dataclass(frozen=True, kw_only=True)
class ShardTaken:
    """An agent has a shard."""

    shard: int
    agent: str


@dataclass(frozen=True, kw_only=True)
class ShardEnded:
    """A shard's command has ended, and `reports` says what of each of its units; one that is missing is "unknown"."""

    shard: int
    #: that the command took
    seconds: float
    reports: Mapping[str, UnitReport]
    #: why its command failed, when no unit did
    problem: str = ""
    #: what is wrong with its report, which told nothing then
    warning: str = ""


@dataclass(frozen=True, kw_only=True)
class ShardLost:
    """A shard is over without a result: its machine is gone, or is no good."""

    shard: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class ShardReturned:
    """Its command never ran: the machine could not be prepared for it. Nothing is held against its units."""

    shard: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """Nobody wants the rest."""


Input = Union[FleetSize, ShardTaken, ShardEnded, ShardLost, ShardReturned, Stopped]

# ---- actions


@dataclass(frozen=True, kw_only=True)
class OfferShard:
    """Have an agent come for it; which units it gets is decided when it is known who came."""

    shard: int


@dataclass(frozen=True, kw_only=True)
class StartShard:
    """The agent that came for it is to run it. Again after a restart of the master, with the same units."""

    shard: Shard


@dataclass(frozen=True, kw_only=True)
class CancelShard:
    """It is not wanted any more. One that waits is over with this; one that runs is over when that is told."""

    shard: int


@dataclass(frozen=True, kw_only=True)
class Settled:
    """A unit has its result. Once for each unit, unless the battery is stopped before."""

    result: UnitResult


@dataclass(frozen=True, kw_only=True)
class Over:
    """Nothing is left to be done."""


Action = Union[OfferShard, StartShard, CancelShard, Settled, Over]
