"""All that the bridge's machine can be told. Times are the caller's monotonic seconds, given to `handle`.

`request` is everywhere the protocol's work key: "br-<build request id>", or "br-<id>/<step key>" for a command offer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union

from contracts.messages import AgentLock, AnyMessage
from contracts.timing import STATUS_INTERVAL


@dataclass(frozen=True, kw_only=True)
class LinkUp:
    """All connections are open and the claims queue is consumed (consume-ok came)."""


@dataclass(frozen=True, kw_only=True)
class LinkDown:
    """A connection is gone. Deliveries and unconfirmed publishes of it are void."""


@dataclass(frozen=True, kw_only=True)
class LinkBlocked:
    """The broker blocks our publishes (resource alarm), or lets them through again."""

    blocked: bool


@dataclass(frozen=True, kw_only=True)
class Declared:
    """The signatures of all queues that this master has, or had before its restart; whole set, as often as you like."""

    signatures: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class MessageReceived:
    """From the claims or events queue. The machine answers each delivery with exactly one `Ack`, at its time."""

    delivery: int
    message: AnyMessage
    #: `key_word` of the broker user that published it, which the broker verifies
    user: str
    #: bytes of its body, and of its header `bb`
    size: int = 0


@dataclass(frozen=True, kw_only=True)
class AgentHeard:
    """The fleet heard this agent's status. A long silence before a ping comes back counts as grace."""

    instance: str
    #: `key_word` of the broker user that told it
    user: str
    #: seconds until its next status, as it says
    every: float = STATUS_INTERVAL


@dataclass(frozen=True, kw_only=True)
class StatusesWanted:
    """How often agents are to tell their statuses, in seconds (rule 27)."""

    every: int


@dataclass(frozen=True, kw_only=True)
class AgentDied:
    """Whoever was at this address has ended, with all of its processes that keep sessions (rule 10)."""

    address: str


@dataclass(frozen=True, kw_only=True)
class Returned:
    """A mandatory publication came back: its addressee's queue does not exist. Carries what was published."""

    message: AnyMessage
    routing_key: str


@dataclass(frozen=True, kw_only=True)
class PreparedCommand:
    """A command before it has a number."""

    name: str
    args: Mapping[str, Any]
    digest: str
    #: for people
    step: str = ""


@dataclass(frozen=True, kw_only=True)
class Seek:
    """`start_instance`, or a step's own command: find an agent for this request (bridge's table, none → WINDOW)."""

    request: str
    run: int
    kind: Literal["build", "command"]
    signature: str
    builddir: str
    title: str
    builder: str = ""
    build_number: int = 0
    locks: tuple[AgentLock, ...] = ()
    priority: int = 0
    fencing: float | None = None
    #: rule 24: only an agent that can seal gets it
    seal: bool = False
    #: for people: the step that asks, for kind "command"
    step: str = ""
    #: that the offer carries, for kind "command"; they are numbered 1, 2, … in this order
    commands: tuple[PreparedCommand, ...] = ()
    #: Buildbot has run this request before (earlier builds of it exist): an agent must ask before it starts (rule 16)
    repeated: bool = False


@dataclass(frozen=True, kw_only=True)
class Withdraw:
    """Stopped while waiting, or before attach: no agent is wanted any more."""

    request: str


@dataclass(frozen=True, kw_only=True)
class Reroute:
    """A reconfig changed the signature, or the seal, of a request that still waits: withdraw and publish again."""

    request: str
    signature: str
    #: as in `Seek`
    seal: bool = False


@dataclass(frozen=True, kw_only=True)
class Done:
    """Buildbot is done with the session: release it."""

    request: str


@dataclass(frozen=True, kw_only=True)
class Keep:
    """Quick stop of the master: forget the attachment, keep the agent's session for our next incarnation."""

    request: str


@dataclass(frozen=True, kw_only=True)
class StartCommand:
    """Buildbot starts its next command in an attached session; the machine numbers it from 1 on."""

    request: str
    command: PreparedCommand


@dataclass(frozen=True, kw_only=True)
class InterruptCommand:
    """Buildbot wants command `n` of the request's session interrupted, for `reason`."""

    request: str
    n: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class EventStored:
    """Buildbot has stored (or needs no more) the events up to `seq` that `Deliver` handed over."""

    session: str
    seq: int


@dataclass(frozen=True, kw_only=True)
class RequestChecked:
    """Answer to `CheckRequest`: is the build request complete in Buildbot's database (or unknown there)?"""

    request: str
    complete: bool


@dataclass(frozen=True, kw_only=True)
class Tick:
    """The time that `BridgeMachine.deadline` named has come (or any other moment; ticks are harmless)."""


Input = Union[
    LinkUp, LinkDown, LinkBlocked, Declared, MessageReceived, AgentHeard, StatusesWanted, AgentDied, Returned, Seek,
    Withdraw, Reroute, Done, Keep, StartCommand, InterruptCommand, EventStored, RequestChecked, Tick,
]  # fmt: skip
