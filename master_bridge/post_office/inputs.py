"""All that a post office can be told. Times are the caller's monotonic seconds, given to `handle`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Union

from contracts.codec import Wire
from contracts.frames.frames import Frame
from master_bridge.post_office.actions import KeepClaim


@dataclass(frozen=True, kw_only=True)
class ClaimsRestored:
    """What a former process of this master kept, in its order. Before all else."""

    claims: tuple[KeepClaim, ...]


@dataclass(frozen=True, kw_only=True)
class AgentJoined:
    """A connection has logged in. `user`: its account, verified; `address`: where it is told things."""

    connection: int
    user: str
    address: str
    #: an operator hears the whole fleet, and may tell agents what to do
    role: Literal["agent", "operator"] = "agent"


@dataclass(frozen=True, kw_only=True)
class FrameCame:
    """From a connection that has joined; raw bytes with it."""

    connection: int
    frame: Frame
    body: bytes = b""


@dataclass(frozen=True, kw_only=True)
class AgentLeft:
    """A connection has ended, however that came.

    `died`: because all processes of its agent that keep sessions have.
    """

    connection: int
    died: bool = False


@dataclass(frozen=True, kw_only=True)
class MasterPublished:
    """The master says something through one of the protocol's exchanges.

    `number`: named again when it is mandatory and nobody is there.
    """

    number: int
    exchange: str
    key: str
    wire: Wire
    mandatory: bool = False
    #: offers only: a higher one goes first
    priority: int = 0


@dataclass(frozen=True, kw_only=True)
class QueuesDeclared:
    """These `cap.*` queues are there from now on."""

    queues: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class QueueDeleted:
    """That queue goes, if nothing waits in it."""

    queue: str


@dataclass(frozen=True, kw_only=True)
class MasterAcknowledged:
    """The master is done with this delivery."""

    delivery: int


@dataclass(frozen=True, kw_only=True)
class OffersSwept:
    """These offers, by the numbers that `waiting` gave, leave the queue where they still wait in it."""

    queue: str
    numbers: frozenset[int]


@dataclass(frozen=True, kw_only=True)
class OfficeTick:
    """The time that `deadline` named has come (or any other moment; ticks are harmless)."""


OfficeInput = Union[
    ClaimsRestored, AgentJoined, FrameCame, AgentLeft, MasterPublished, QueuesDeclared, QueueDeleted,
    MasterAcknowledged, OffersSwept, OfficeTick,
]  # fmt: skip
