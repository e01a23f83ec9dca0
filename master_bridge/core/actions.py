"""All that the bridge's machine can ask for. The transport carries them out in the order given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Union

from contracts.messages import Capability, Event, Message, Offer, WorkerInfo
from contracts.topology import address_user


@dataclass(frozen=True, kw_only=True)
class PublishOffer:
    """To `bb.offers`, persistent, mandatory, with the AMQP priority for `priority`."""

    offer: Offer
    priority: int = 0


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a session's seal is made for (rule 24), beside what a grant says."""

    #: the agent's, of its last claim or resume
    key: str
    #: `key_word` of the agent's broker user
    user: str
    request: str
    signature: str


@dataclass(frozen=True, kw_only=True)
class Send:
    """To one agent's control queue, mandatory; an unroutable one comes back as `Returned`.

    With `terms` a grant is given a seal, and all else is sealed with that of the last grant to this address.
    """

    message: Message
    address: str
    terms: Terms | None = None


@dataclass(frozen=True, kw_only=True)
class ForgetSeal:
    """The session is over: its keys are of no use any more."""

    session: str


@dataclass(frozen=True, kw_only=True)
class Broadcast:
    """To all agents (roll call, alive), not mandatory."""

    message: Message


@dataclass(frozen=True, kw_only=True)
class SendMarker:
    """To ourselves, through `claims.<master>` (rule 10)."""

    message: Message


@dataclass(frozen=True, kw_only=True)
class Ack:
    """Acknowledge the delivery of that number."""

    delivery: int


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """Publish the delivery's raw message to `bb.dead` with the reason; an `Ack` of it follows."""

    delivery: int
    reason: str
    #: `key_word` of the broker user that published it
    user: str


@dataclass(frozen=True, kw_only=True)
class DeadOffer:
    """Publish an offer that cost too many agents their lives to `bb.dead` with the reason (rule 20)."""

    offer: Offer
    reason: str
    priority: int = 0


@dataclass(frozen=True, kw_only=True)
class SweepOffers:
    """Look through the queue of `signature`, acknowledge what `BridgeMachine.is_stale` names, give the rest back."""

    signature: str


@dataclass(frozen=True, kw_only=True)
class CheckRequest:
    """Ask Buildbot's database; answered by `RequestChecked`."""

    request: str


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds a session, for Buildbot and for people."""

    session: str
    agent: str
    instance: str
    address: str
    capabilities: tuple[Capability, ...]
    worker: WorkerInfo
    #: when it was granted first, as far as its tickets tell, seconds since the epoch
    since: float = 0.0

    @property
    def account(self) -> str:
        """The `key_word` of the broker user, which is proven, as `agent` is not."""
        return address_user(self.address)


@dataclass(frozen=True, kw_only=True)
class Attach:
    """An agent has accepted: give it to Buildbot (`newConnection` and `attached`), or to the step."""

    request: str
    holder: Holder
    #: the session was adopted: it has run commands for an earlier incarnation of this bridge
    adopted: bool


@dataclass(frozen=True, kw_only=True)
class Deliver:
    """An event, next in order and never twice, for Buildbot. To be answered by `EventStored` in order."""

    request: str
    event: Event


@dataclass(frozen=True, kw_only=True)
class Lost:
    """The session is over without a result: tell Buildbot that the connection was lost (build: RETRY)."""

    request: str
    session: str
    #: for people: "agent builder7 did not answer for 5 s"
    reason: str


@dataclass(frozen=True, kw_only=True)
class Abandoned:
    """No more tries for this request (rule 20): the build ends as EXCEPTION with this reason.

    Takes the place of the `Lost` of the last session: an attachment, if there is one, is over too.
    """

    request: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class CancelledEarlier:
    """Rule 14: the agent reports an interrupt that an earlier incarnation asked for: end the request as CANCELLED.

    Comes just before the `Deliver` of the completion, so that it is known when the command ends.
    """

    request: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ServeData:
    """An agent pulls bytes of a download: read them and `Send` a `Data` message to `address`, with these `terms`."""

    request: str
    session: str
    n: int
    offset: int
    length: int
    address: str
    terms: Terms | None = None


@dataclass(frozen=True, kw_only=True)
class StateChanged:
    """For the preparation step, the fleet view and metrics."""

    request: str
    state: Literal["none", "window", "waiting", "granted", "held", "missing", "done"]


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """Something an operator must know. `event` is a structlog event name."""

    event: str
    detail: str
    request: str | None = None


Action = Union[
    PublishOffer, Send, ForgetSeal, Broadcast, SendMarker, Ack, DeadLetter, DeadOffer, SweepOffers, CheckRequest,
    Attach, Deliver, Lost, Abandoned, CancelledEarlier, ServeData, StateChanged, Alarm,
]  # fmt: skip
