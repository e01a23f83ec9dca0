"""What can happen to one session: inputs and messages that concern it, answers of the broker, and what falls due.

`machine` and `messages` find out whom an input concerns, `clock` what is due; `transitions` says what comes of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from contracts.messages import Data, Grant, Hold, Interrupt, Later, Ping, Release, Replay, RollCall, Start, Stored
from worker_agent.core.inputs import (
    DeliveryLost,
    Journalled,
    KeeperLost,
    LinkDown,
    LinkUp,
    MachineChecked,
    OfferDelivered,
    PullWanted,
    Stop,
)


@dataclass(frozen=True, kw_only=True)
class OfferTold:
    """An operator wants this agent, and no other (rule 26)."""


# ---- what bridges and broker answer


@dataclass(frozen=True, kw_only=True)
class ClaimRefused:
    """By the bridge (rule 8)."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class ResumeRefused:
    """By the bridge (rule 8)."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class ClaimConfirmed:
    """The broker has taken charge of the claim."""


@dataclass(frozen=True, kw_only=True)
class ClaimReturned:
    """The broker has not taken the claim: there is no such queue, or it is full."""


@dataclass(frozen=True, kw_only=True)
class EventConfirmed:
    """The broker has taken charge of an event."""

    token: int


@dataclass(frozen=True, kw_only=True)
class EventReturned:
    """The broker has not taken an event."""

    token: int


# ---- what the agent decides for all its sessions


@dataclass(frozen=True, kw_only=True)
class TurnedAway:
    """No new work from now on: claims are given up, what is held goes on."""


@dataclass(frozen=True, kw_only=True)
class NothingHeld:
    """No session takes a slot (`orders`)."""


# ---- what falls due (`clock`)


@dataclass(frozen=True, kw_only=True)
class FencingDue:
    """Strict fencing: what runs must be dead by now."""


@dataclass(frozen=True, kw_only=True)
class EventsUnread:
    """The journal holds what could not be read when its keeper said so."""


@dataclass(frozen=True, kw_only=True)
class AnswerDue:
    """Rule 19: 5 s without an answer to a claim."""


@dataclass(frozen=True, kw_only=True)
class RunDue:
    """Rule 15: 1 s without a grant."""


@dataclass(frozen=True, kw_only=True)
class IdleDue:
    """Rule 17: granted, nothing was executed, and the master is silent for long."""


@dataclass(frozen=True, kw_only=True)
class ResumeDue:
    """Rule 9: 8 s of silence, or the next of the pauses that grow."""


@dataclass(frozen=True, kw_only=True)
class ResendDue:
    """Rule 13: events are sent again."""


@dataclass(frozen=True, kw_only=True)
class PullDue:
    """A download still waits for its bytes."""


@dataclass(frozen=True, kw_only=True)
class EventsWaiting:
    """There are events that window and gate may let through now."""


@dataclass(frozen=True, kw_only=True)
class AsideDue:
    """Rule 17: finished, all events confirmed, and the master is silent for 10 s."""


Due = Union[
    FencingDue, EventsUnread, AnswerDue, RunDue, IdleDue, ResumeDue, ResendDue, PullDue, EventsWaiting, AsideDue
]
Cue = Union[
    OfferDelivered, OfferTold, MachineChecked, DeliveryLost, LinkUp, LinkDown, TurnedAway, Stop,
    ClaimConfirmed, ClaimReturned, Grant, ClaimRefused, ResumeRefused, Later, Hold, RollCall,
    Start, Interrupt, Data, Ping, Stored, Replay, Release,
    Journalled, EventConfirmed, EventReturned, PullWanted, KeeperLost, Due,
]  # fmt: skip
