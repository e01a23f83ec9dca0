"""What can happen to one request: the inputs of the bridge's table (transitions.py).

Made of what the bridge is told (inputs.py), of agents' messages whose sender may say them (messages.py), and of alarms
that fall due.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from contracts.messages import Event, Gone, Pull
from master_bridge.core.inputs import (
    AgentDied,
    AgentHeard,
    Done,
    EventStored,
    InterruptCommand,
    Keep,
    LinkDown,
    LinkUp,
    Reroute,
    Seek,
    StartCommand,
    Withdraw,
)
from master_bridge.core.records import Verified


@dataclass(frozen=True, kw_only=True)
class RollCallOver:
    """Whoever has a session of an earlier connection has said so (rules 10, 12)."""


# ---- of a session that the request does not have


@dataclass(frozen=True, kw_only=True)
class NewClaim:
    """A verified claim, for an offer that may be granted."""

    verified: Verified


@dataclass(frozen=True, kw_only=True)
class NewResume:
    """A verified resume, of a session that the agent still has."""

    verified: Verified


@dataclass(frozen=True, kw_only=True)
class EarlierAccept:
    """Of a session that an earlier incarnation of the bridge has granted."""

    verified: Verified


# ---- of the request's own session


@dataclass(frozen=True, kw_only=True)
class HolderClaim:
    """`newer`: from a newer epoch (rule 2), so of a new connection."""

    verified: Verified
    newer: bool


@dataclass(frozen=True, kw_only=True)
class HolderResume:
    """As `HolderClaim`."""

    verified: Verified
    newer: bool


@dataclass(frozen=True, kw_only=True)
class HolderAccept:
    """As `HolderClaim`."""

    verified: Verified
    newer: bool


@dataclass(frozen=True, kw_only=True)
class OlderAddressSpoke:
    """A claim, resume or accept from an address that a newer epoch has replaced."""

    verified: Verified


@dataclass(frozen=True, kw_only=True)
class HolderGone:
    """The agent that holds the session says that it is gone."""

    gone: Gone


@dataclass(frozen=True, kw_only=True)
class EventCame:
    """An event of the session; `delivery` is to be acknowledged."""

    event: Event
    delivery: int


@dataclass(frozen=True, kw_only=True)
class PullCame:
    """The agent asks for more data of a file that it downloads."""

    pull: Pull


@dataclass(frozen=True, kw_only=True)
class MessageReturned:
    """A message to an agent's queue came back: the queue is gone."""

    address: str


@dataclass(frozen=True, kw_only=True)
class MarkerBack:
    """All that was under way to us when marker `k` was sent has come (rule 10)."""

    k: int


# ---- the clock of the link


@dataclass(frozen=True, kw_only=True)
class ClockStopped:
    """The link is down or blocked: nothing can be found out."""


@dataclass(frozen=True, kw_only=True)
class ClockStarted:
    """The link is up, and not blocked."""


# ---- alarms


@dataclass(frozen=True, kw_only=True)
class AcceptDue:
    """No accept in 4 s."""


@dataclass(frozen=True, kw_only=True)
class OfferDue:
    """It has waited for long."""


@dataclass(frozen=True, kw_only=True)
class PingDue:
    """Rule 9."""


@dataclass(frozen=True, kw_only=True)
class GraceOver:
    """Rule 10."""


@dataclass(frozen=True, kw_only=True)
class SuspectDue:
    """The address that we know did not answer after a `gone` from elsewhere."""


@dataclass(frozen=True, kw_only=True)
class RivalDue:
    """The older address did not answer."""


@dataclass(frozen=True, kw_only=True)
class StoredDue:
    """The agent is to be told up to where Buildbot has stored."""


@dataclass(frozen=True, kw_only=True)
class ReplayDue:
    """A second has passed since a replay was asked for last."""


Order = Union[Withdraw, Reroute, Done, Keep, StartCommand, InterruptCommand]
Cue = Union[
    Seek, Order, RollCallOver, NewClaim, NewResume, EarlierAccept,
    HolderClaim, HolderResume, HolderAccept, OlderAddressSpoke, HolderGone, EventCame, PullCame, EventStored,
    MessageReturned, AgentHeard, AgentDied, MarkerBack, LinkUp, LinkDown, ClockStopped, ClockStarted,
    AcceptDue, OfferDue, PingDue, GraceOver, SuspectDue, RivalDue, StoredDue, ReplayDue,
]  # fmt: skip
