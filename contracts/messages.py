"""Every message of the protocol, one model each. Rules are numbered as in docs/protocol.md.

Bulk data (`Event.data`, `Data.data`) is not part of the JSON: `contracts.codec` puts it into the AMQP body and
the rest into a header. Unknown fields are ignored, so that a newer peer may say more.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Union

from pydantic import Field

from contracts.fleet_messages import Catalogue as Catalogue
from contracts.fleet_messages import ExpectedStart as ExpectedStart
from contracts.fleet_messages import FleetMessage as FleetMessage
from contracts.fleet_messages import Move as Move
from contracts.fleet_messages import SlotStatus as SlotStatus
from contracts.fleet_messages import Status as Status
from contracts.fleet_messages import Steer as Steer
from contracts.fleet_messages import Work as Work
from contracts.fleet_messages import WorkView as WorkView
from contracts.message_parts import Address as Address
from contracts.message_parts import AgentLock as AgentLock
from contracts.message_parts import Capability as Capability
from contracts.message_parts import Command as Command
from contracts.message_parts import Component as Component
from contracts.message_parts import Executing as Executing
from contracts.message_parts import Greeting as Greeting
from contracts.message_parts import Id as Id
from contracts.message_parts import Key as Key
from contracts.message_parts import Message as Message
from contracts.message_parts import Name as Name
from contracts.message_parts import Natural as Natural
from contracts.message_parts import Part as Part
from contracts.message_parts import Positive as Positive
from contracts.message_parts import Seal as Seal
from contracts.message_parts import StatusInterval as StatusInterval
from contracts.message_parts import Text as Text
from contracts.message_parts import Ticket as Ticket
from contracts.message_parts import Title as Title
from contracts.message_parts import Traceparent as Traceparent
from contracts.message_parts import User as User
from contracts.message_parts import WorkerInfo as WorkerInfo
from contracts.protocol_version import OLDEST_VERSION as OLDEST_VERSION
from contracts.protocol_version import VERSION as VERSION
from contracts.timing import STATUS_INTERVAL


class Offer(Greeting):
    """`bb.offers`: a build, or a build-step's commands, looks for an agent. `bb.control`: an operator wants one."""

    t: Literal["offer"] = "offer"
    offer: Id
    #: what the work is for, stable across restarts of the master: "br-17", "br-17/step-4", "br-17/step-4/shard-2"
    request: str = Field(min_length=1, max_length=200)
    master: Name
    #: the master's broker user: nobody else may send messages about a session of this offer (rule 22)
    user: User
    #: rule 21: a claim of this offer shows it
    ticket: Ticket
    #: Buildbot's build id: of several runs of a request, the highest counts
    run: Natural
    signature: str = Field(min_length=1, max_length=240)
    kind: Literal["build", "command"]
    #: Rule 16: do not start before a grant
    ask: bool = False
    #: seconds since the epoch, on the bridge's clock
    published: float
    #: the builder's folder, one path component
    builddir: Component
    #: for people: "linux-gtk #17"
    title: Title = ""
    #: for people and logs: the builder, and the build's number in it; 0: not told
    builder: Title = ""
    build_number: Natural = 0
    #: an agent on which one of them has no room parks the offer
    locks: tuple[AgentLock, ...] = ()
    #: strict fencing: seconds without contact after which the agent kills what runs; None: never
    fencing: float | None = Field(default=None, gt=0)
    #: rule 24: only an agent whose claim has a `key` gets it; then `commands` is empty, since who offers has no key yet
    seal: bool = False
    #: for kind "command"
    commands: tuple[Command, ...] = ()
    #: rule 26: an operator's, told to one agent; left out where it is not
    direct: Annotated[bool, Field(exclude_if=lambda value: not value)] = False
    #: rule 25: the span of the build; left out where its master traces nothing
    traceparent: Traceparent = None


class Claimant(Message):
    """What claim, resume and accept have in common: who sends it, about which session."""

    session: Id
    offer: Id
    request: str
    master: Name
    run: Natural
    #: the agent's uuid
    instance: Id
    #: for people and for the `agent` property of a build
    agent: str = Field(min_length=1, max_length=128)
    epoch: Natural
    address: Address
    #: rule 21: that of the session's last grant; where there was none, its offer's
    ticket: Ticket


class Claim(Greeting, Claimant):
    """An agent asks for the session of an offer that it took from a queue."""

    t: Literal["claim"] = "claim"
    kind: Literal["build", "command"] = "build"
    capabilities: tuple[Capability, ...] = ()
    worker: WorkerInfo
    #: rule 24: where the offer asks for a seal, the session's public key
    key: Key | None = None


class Resume(Greeting, Claimant):
    """The agent holds this session: commands were executed in it, or it was granted."""

    t: Literal["resume"] = "resume"
    kind: Literal["build", "command"] = "build"
    capabilities: tuple[Capability, ...] = ()
    worker: WorkerInfo
    #: rule 24: where the offer asks for a seal, the session's public key
    key: Key | None = None
    commands: tuple[Executing, ...] = ()


class Accept(Claimant):
    """The agent has received the grant and holds the session."""

    t: Literal["accept"] = "accept"
    incarnation: Id


class Gone(Greeting):
    """The agent does not have this session (any more)."""

    t: Literal["gone"] = "gone"
    session: Id
    request: str
    master: Name
    epoch: Natural
    address: Address
    reason: Literal["unknown", "lost", "diverged", "refused", "released", "killed", "disk", "memory"]
    #: as in a claim or resume; without it a bridge that does not know the session notes nothing
    ticket: Ticket | None = None
    #: for people
    detail: Text = ""


class Grant(Message):
    """The bridge gives the session to the agent that claimed or resumed it."""

    t: Literal["grant"] = "grant"
    session: Id
    master: Name
    incarnation: Id
    run: Natural
    #: rule 21: from now on the session shows this one
    ticket: Ticket
    #: the agent goes on with event `stored` + 1
    stored: Natural
    #: rule 24: there, if the claim or resume has a `key`
    seal: Seal | None = None


class Refuse(Message):
    """The bridge does not give the session to this agent."""

    t: Literal["refuse"] = "refuse"
    session: Id
    master: Name
    #: rule 6: what it answers
    re: Literal["claim", "resume"]
    reason: Text


class Later(Message):
    """A claim: not now, park the offer (the holder is missing but not given up, or no version is common to both)."""

    t: Literal["later"] = "later"
    session: Id
    master: Name
    request: str
    #: for people; said where something is wrong
    reason: Text = ""


class Hold(Message):
    """A resume: noted, but Buildbot has not asked for it yet; keep it."""

    t: Literal["hold"] = "hold"
    session: Id
    master: Name
    request: str


class Start(Message):
    """The bridge wants a command of the session started."""

    t: Literal["start"] = "start"
    session: Id
    incarnation: Id
    command: Command
    #: rule 25: the span of the command; left out where its master traces nothing
    traceparent: Traceparent = None


class Interrupt(Message):
    """The bridge wants command `n` of the session interrupted."""

    t: Literal["interrupt"] = "interrupt"
    session: Id
    incarnation: Id
    n: Positive
    reason: Text


class Ping(Message):
    """Is the session still there? That the message can be delivered is the answer."""

    t: Literal["ping"] = "ping"
    session: Id
    incarnation: Id
    stored: Natural


class Stored(Message):
    """The bridge has stored the session's events up to number `stored`."""

    t: Literal["stored"] = "stored"
    session: Id
    incarnation: Id
    stored: Natural


class Replay(Message):
    """There is a gap: publish again from `stored` + 1."""

    t: Literal["replay"] = "replay"
    session: Id
    incarnation: Id
    stored: Natural


class Release(Message):
    """The bridge needs the session no more: the agent ends it and deletes its journal."""

    t: Literal["release"] = "release"
    session: Id
    incarnation: Id


class Event(Message):
    """One numbered thing an agent says about a session.

    kind       value                              data
    started    {"name": …, "digest": …}
    stdout     -                                  bytes the command wrote
    stderr     -                                  bytes the command wrote
    header     -                                  UTF-8 text of the agent itself
    log        name of the log file               bytes that file grew by
    update     [key, JSON value]                  (rc, elapsed, failure_reason, files, stat, …)
    write      -                                  bytes for the command's writer (uploads)
    writer     ["utime", [atime, mtime]], ["unpack"] or ["close"]: a call of the writer
    completed  null, or the text of the failure as Buildbot's worker would have raised it
    """

    t: Literal["event"] = "event"
    has_data: ClassVar[bool] = True
    session: Id
    #: from 1, without gaps, per session
    seq: Positive
    #: the command it belongs to
    n: Positive
    kind: Literal["started", "stdout", "stderr", "header", "log", "update", "write", "writer", "completed"]
    value: Any = None
    #: `completed` only, rule 14: why the command was interrupted, when it was
    interrupted: Text | None = None
    #: `completed` only: what the machine, not the command, did ("disk full", "killed by the system: out of memory")
    infrastructure: Text | None = None
    data: bytes = Field(default=b"", exclude=True)


class Pull(Message):
    """The agent wants bytes of a download's file: [offset, offset + length). Not an event: asked again if lost."""

    t: Literal["pull"] = "pull"
    session: Id
    n: Positive
    offset: Natural
    length: Annotated[int, Field(ge=1, le=1024 * 1024)]


class Data(Message):
    """Bytes of a download's file, from `offset`. `size` is the whole file's."""

    t: Literal["data"] = "data"
    has_data: ClassVar[bool] = True
    session: Id
    incarnation: Id
    n: Positive
    offset: Natural
    size: Natural
    data: bytes = Field(default=b"", exclude=True)


class Sealed(Message):
    """A start, interrupt, data, event or pull of a session with a seal (rule 24): its bytes are encrypted."""

    t: Literal["sealed"] = "sealed"
    has_data: ClassVar[bool] = True
    session: Id
    #: which seal of the session: the first 16 digits of its `key`
    seal: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    #: from 0, each number once in each direction
    number: Natural
    data: bytes = Field(default=b"", exclude=True)


class RollCall(Greeting):
    """Broadcast: whoever holds sessions of this master resumes them now."""

    t: Literal["rollcall"] = "rollcall"
    master: Name
    incarnation: Id


class Alive(Greeting):
    """The bridge of this master is there; sent to all agents every 3 s."""

    t: Literal["alive"] = "alive"
    master: Name
    incarnation: Id
    #: rule 27: an agent need not tell its status more often than this, in seconds, for this master
    status_every: StatusInterval = int(STATUS_INTERVAL)


class Marker(Message):
    """A bridge to itself, through its claims queue: all that was under way before it is in (rule 10)."""

    t: Literal["marker"] = "marker"
    incarnation: Id
    k: Natural


AnyMessage = Annotated[
    Union[
        Offer, Claim, Resume, Accept, Gone, Grant, Refuse, Later, Hold, Start, Interrupt, Ping, Stored, Replay,
        Release, Event, Pull, Data, Sealed, RollCall, Alive, Marker, Status, Catalogue, Work, Steer,
        Move,
    ],
    Field(discriminator="t"),
]  # fmt: skip
