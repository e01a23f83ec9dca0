"""All that the agent's machine can ask for. The transport carries them out in the order given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Union

from contracts.messages import AnyMessage, Command, Grant, Message, Offer
from worker_agent.core.inputs import SessionMeta


@dataclass(frozen=True, kw_only=True)
class Publish:
    """Publish with a confirm. Answered by `Confirmed` or `Refused` when `token` is not None.

    What goes to `claims` is persistent. Events and pulls are not: the journal repeats the former (rule 13), the keeper
    the latter, and a bridge that comes back has them told again anyway.
    """

    message: Message
    master: str
    #: queue of the master's it goes to
    to: Literal["claims", "events"]
    token: int | None = None
    #: seconds after which the broker may drop it (claims only)
    expires: float | None = None
    #: its session has a seal (rule 24): a claim or resume gives its key, an event or pull is sealed or not sent
    sealed: bool = False


@dataclass(frozen=True, kw_only=True)
class Agree:
    """A grant has a seal (rule 24): make the session's keys of it, for what follows in both directions."""

    grant: Grant
    #: `key_word` of the master's broker user: nobody else's messages are opened
    user: str
    request: str
    #: the agent's own
    address: str


@dataclass(frozen=True, kw_only=True)
class ForgetSeal:
    """The session is over, and its keys are of no use any more."""

    session: str


@dataclass(frozen=True, kw_only=True)
class Consume:
    """Consume these queues, prefetch 1 each, manual ack; replaces what was consumed before.

    One after the other in this order, and no more of them once an offer has come: what that causes comes first.
    """

    queues: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CancelConsumers:
    """Cancel all offer consumers, before anything that follows, on the same channel (rule 20)."""


@dataclass(frozen=True, kw_only=True)
class CheckMachine:
    """Before a claim: is the machine well, and what the offer asks for still there? Answered by `MachineChecked`."""

    delivery: int
    #: that the offer came from; its name says what it asks for
    queue: str
    #: the offer's id, for the log
    offer: str


@dataclass(frozen=True, kw_only=True)
class Ack:
    """Acknowledge the offer of that delivery."""

    delivery: int


@dataclass(frozen=True, kw_only=True)
class Park:
    """Reject without requeue: the queue dead-letters it to `bb.parked`."""

    delivery: int


@dataclass(frozen=True, kw_only=True)
class SendToDead:
    """Publish the delivery as it came to `bb.dead` with the reason, then acknowledge it."""

    delivery: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class GiveBack:
    """Nack with requeue."""

    delivery: int


@dataclass(frozen=True, kw_only=True)
class Persist:
    """Write the session's meta file before anything that follows."""

    meta: SessionMeta


@dataclass(frozen=True, kw_only=True)
class OpenSession:
    """Make the session's folder and start its keeper. Sent once, when it is claimed."""

    session: str
    #: path components below the agent's base directory: (master, or the operators' folder, "slot-<k>"), joined with the
    #: offer's builddir
    master: str
    slot: int
    builddir: str


@dataclass(frozen=True, kw_only=True)
class RunCommand:
    """The keeper journals `started` and runs it; its events come back as `Journalled`."""

    session: str
    command: Command


@dataclass(frozen=True, kw_only=True)
class InterruptCommand:
    """As Buildbot's interrupt: the command's process tree ends, and it completes with `interrupted=reason`.

    For a command that is not running: nothing (rule 14's memory is the machine's).
    """

    session: str
    n: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class CompleteUnstarted:
    """Rule 14: the interrupt came first. Journal `started` and `completed` with `interrupted=reason`, run nothing."""

    session: str
    command: Command
    reason: str


@dataclass(frozen=True, kw_only=True)
class FeedData:
    """Bytes that a `PullWanted` asked for."""

    session: str
    n: int
    offset: int
    size: int
    data: bytes


@dataclass(frozen=True, kw_only=True)
class TrimJournal:
    """Buildbot has stored events up to `seq`: the keeper may count them out of its bound."""

    session: str
    seq: int


@dataclass(frozen=True, kw_only=True)
class Contact:
    """The bridge of this session was heard: the keeper's own fencing clock starts again."""

    session: str


@dataclass(frozen=True, kw_only=True)
class CloseSession:
    """Kill all processes of the session, wait until none is left, then remove its folder and journal."""

    session: str
    #: keep build directory and journal readable (rule 17: aside), only end the processes
    keep_journal: bool = False


@dataclass(frozen=True, kw_only=True)
class Reject:
    """A message from the control queue that changes nothing, since no bridge of ours sends it: to `bb.dead`."""

    message: AnyMessage
    reason: str


@dataclass(frozen=True, kw_only=True)
class MasterSilent:
    """For logs and metrics: a master changed between silent and heard."""

    master: str
    silent: bool


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """Something an operator must know. `event` is a structlog event name."""

    event: str
    detail: str
    session: str | None = None


@dataclass(frozen=True, kw_only=True)
class Report:
    """For the log: what the agent does for whom. `event` is a structlog event name."""

    event: Literal["build", "build_ended", "command", "command_ended"]
    session: str
    #: names master, builder and build
    offer: Offer
    #: what else there is to say, seconds and exit codes among it; None where it is not known
    fields: Mapping[str, str | float | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Exit:
    """Drained, or stopped, and nothing is held any more."""


Action = Union[
    Publish, Agree, ForgetSeal, Consume, CancelConsumers, CheckMachine, Ack, Park, SendToDead, GiveBack, Persist,
    OpenSession, RunCommand, InterruptCommand, CompleteUnstarted, FeedData, TrimJournal, Contact, CloseSession, Reject,
    MasterSilent, Alarm, Report, Exit,
]  # fmt: skip
