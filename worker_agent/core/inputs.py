"""All that the agent's machine can be told. Times are the caller's monotonic seconds, given to `handle`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from contracts.messages import AnyMessage, Offer


@dataclass(frozen=True, kw_only=True)
class LinkUp:
    """Both connections are open and the control queue `address` is consumed."""

    #: greater than that of any earlier connection of this instance
    epoch: int
    address: str
    #: seconds since the epoch on this machine's wall clock, when the connection was opened (rule 15)
    opened_at: float


@dataclass(frozen=True, kw_only=True)
class LinkDown:
    """The connection is gone. Deliveries and unconfirmed publishes of it are void."""


@dataclass(frozen=True, kw_only=True)
class OfferDelivered:
    """An offer came from a queue that is consumed."""

    #: the transport's handle for ack, park and give-back; unique for the life of the process
    delivery: int
    queue: str
    offer: Offer
    redelivered: bool
    #: how often it was dead-lettered (`x-death` counts, summed)
    deaths: int
    #: sent by somebody else than its master, or signed and sent before or long ago: no first delivery (rule 15)
    repeated: bool = False


@dataclass(frozen=True, kw_only=True)
class MachineChecked:
    """The answer to `CheckMachine`. What the self-check found came before it, as `Wellness`."""

    delivery: int
    #: what the offer asks for is still there; None: that could not be found out
    able: bool | None


@dataclass(frozen=True, kw_only=True)
class DeliveryLost:
    """The broker took a delivery back (consumer timeout); the link as a whole is up."""

    delivery: int


@dataclass(frozen=True, kw_only=True)
class MessageReceived:
    """From the control queue; the transport has acknowledged it already.

    `user`: the `key_word` of the account that published it, which the broker verifies.
    """

    message: AnyMessage
    user: str
    #: it came sealed, and was opened (rule 24)
    sealed: bool = False


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """The broker has taken charge of the publication with this token."""

    token: int


@dataclass(frozen=True, kw_only=True)
class Refused:
    """The broker returned or rejected the publication with this token."""

    token: int
    #: True: there is no such queue, so no such master; False: its queue is full
    returned: bool = False


@dataclass(frozen=True, kw_only=True)
class QueuesKnown:
    """The `cap.*` queues that exist and that this agent qualifies for, whole set."""

    queues: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Wellness:
    """The self-check's verdict; `reasons` empty: fit for new work."""

    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Pause:
    """Take nothing new, and stay, until resumed. What is held goes on."""

    #: for people
    reason: str = "asked by an operator"


@dataclass(frozen=True, kw_only=True)
class Leave:
    """Take nothing new, and exit when what is held has ended. Asked again: as `Stop`."""

    #: for people
    reason: str = "asked by an operator"


@dataclass(frozen=True, kw_only=True)
class ResumeWork:
    """Take work again, whatever was asked for before."""


@dataclass(frozen=True, kw_only=True)
class Stop:
    """At once: kill what runs, tell the bridges `gone`, give the offers back, and exit."""

    #: for people
    reason: str = "asked by an operator"


@dataclass(frozen=True, kw_only=True)
class Journalled:
    """The keeper of `session` has written events up to `seq`; the journal can read them."""

    session: str
    seq: int


@dataclass(frozen=True, kw_only=True)
class KeeperLost:
    """The keeper of `session` is gone, and with it all its processes."""

    session: str
    #: for people: "killed by signal 9"
    reason: str


@dataclass(frozen=True, kw_only=True)
class PullWanted:
    """A running download of `session` wants these bytes of its file."""

    session: str
    n: int
    offset: int
    length: int


@dataclass(frozen=True, kw_only=True)
class Tick:
    """The time that `AgentMachine.deadline` named has come (or any other moment; ticks are harmless)."""


Input = Union[
    LinkUp, LinkDown, OfferDelivered, MachineChecked, DeliveryLost, MessageReceived, Confirmed, Refused, QueuesKnown,
    Wellness, Pause, Leave, ResumeWork, Stop, Journalled, KeeperLost, PullWanted, Tick,
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SessionMeta:
    """What the agent's main process remembers of a session across its own restart (one JSON file a session).

    What the session has executed is not here: the journal knows it. The file is made from this class (`metas`).
    """

    session: str
    #: the offer as delivered
    offer: Offer
    #: slot index, from 0: names the folder that its builds use
    slot: int
    #: the bridge has granted it, or commands were executed in it: it resumes, it does not claim
    resumes: bool
    #: rule 17: finished, offer acknowledged, slot freed; only the events are kept
    aside: bool = False
    #: a bridge has granted it: its events wait for the next grant (see `machine`, "The gate")
    granted: bool = False
    #: Buildbot's build id of the last grant; None: the offer's
    run: int | None = None
    #: rule 21: the ticket of the last grant; None: none was granted, the offer's counts
    ticket: str | None = None


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """A session found in the state folder when the agent started."""

    meta: SessionMeta
    #: its keeper answers; False: the session's processes are gone
    alive: bool
    last_seq: int
