"""All that a post office can ask for. The edge carries them out in the order given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Union

from contracts.codec import Wire
from contracts.frames.frames import OfOffice


@dataclass(frozen=True, kw_only=True)
class SendFrame:
    """To this connection; nothing happens where it is gone."""

    connection: int
    frame: OfOffice
    body: bytes = b""


@dataclass(frozen=True, kw_only=True)
class CutOff:
    """End this connection; `reason` is for people. It counts as gone already."""

    connection: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class TellMaster:
    """A claim or an event for the master, until it is acknowledged. `user`: the verified account that said it."""

    delivery: int
    queue: Literal["claims", "events"]
    user: str
    wire: Wire


@dataclass(frozen=True, kw_only=True)
class TellFleet:
    """What an agent, or the master itself, says to all that look at the fleet: for the master's own view."""

    user: str
    key: str
    wire: Wire


@dataclass(frozen=True, kw_only=True)
class TellDied:
    """For the master: the agent that was at this address has ended, with all that kept its sessions."""

    address: str


@dataclass(frozen=True, kw_only=True)
class GiveBackToMaster:
    """Nobody was there for what the master published under this number."""

    number: int


@dataclass(frozen=True, kw_only=True)
class KeepClaim:
    """Put it where it outlives this process, before anything that follows: it has no answer yet."""

    delivery: int
    user: str
    wire: Wire


@dataclass(frozen=True, kw_only=True)
class ForgetClaim:
    """The master is done with it."""

    delivery: int


OfficeAction = Union[SendFrame, CutOff, TellMaster, TellFleet, TellDied, GiveBackToMaster, KeepClaim, ForgetClaim]
