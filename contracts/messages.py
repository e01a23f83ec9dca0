"""Every message of the protocol, one model each. Rules are numbered as in docs/protocol.md.

Bulk data (`Event.data`, `Data.data`) is not part of the JSON: `contracts.codec` puts it into the AMQP body and
the rest into a header. Unknown fields are ignored, so that a newer peer may say more.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Union

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from contracts.protocol_version import OLDEST_VERSION as OLDEST_VERSION
from contracts.protocol_version import VERSION as VERSION
from contracts.timing import TEXT_MAX, TITLE_MAX
from contracts.topology import COMPONENT_MAX, is_component


def _cut(limit: int) -> AfterValidator:
    """Whatever a reason was made of, a message must not become too large by it."""
    return AfterValidator(lambda text: text if len(text) <= limit else f"{text[: limit - 2]} …")


def _component(name: str) -> str:
    if not is_component(name):
        raise ValueError(f"{name[:50]!r} is not the name of a folder: one component, at most {COMPONENT_MAX} bytes")
    return name


#: For people: what is longer is cut, by writers and readers alike.
Text = Annotated[str, _cut(TEXT_MAX)]
Title = Annotated[str, _cut(TITLE_MAX)]

Id = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:-]+$")]
Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_-]+$")]
Address = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^agent\.[^.]+\.[^.]+\.[^.]+$")]
#: What a bridge gave out with an offer or a grant (`contracts.trust.tickets`); a text without meaning to others.
Ticket = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_.:-]+$")]
#: A broker user as one word of a routing key (`contracts.topology.key_word`).
User = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9_:-]+$")]
#: An X25519 public key, 32 bytes in hexadecimal digits (`contracts.trust.sealing`).
Key = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Natural = Annotated[int, Field(ge=0, le=2**53 - 1)]
Positive = Annotated[int, Field(ge=1, le=2**53 - 1)]


class Message(BaseModel):
    """Base of all messages. `t` is the message's type, `v` the protocol version in which it is written."""

    # what is wrong is told without the value, which may be a secret of a command
    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        ser_json_bytes="base64",
        val_json_bytes="base64",
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )

    #: True for messages whose AMQP body is raw bytes.
    has_data: ClassVar[bool] = False

    v: Positive = VERSION


class Greeting(Message):
    """Base of what is said before, or without, an agreement: it means the same in all versions from `v` to `upto`.

    They are the versions that the sender speaks. A grant is written in the newest one common to both, and so is all
    that follows in its session.
    """

    v: Positive = OLDEST_VERSION
    upto: Positive = VERSION


class Part(BaseModel):
    """Base of the parts that messages are made of."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, allow_inf_nan=False)


class Capability(Part):
    """A fact about an agent, without its evidence. `version` None: there, version unknown."""

    name: str = Field(min_length=1, max_length=128)
    version: str | None = Field(default=None, max_length=128)


class WorkerInfo(Part):
    """What Buildbot wants to know of a worker (`Connection.remoteGetWorkerInfo`)."""

    version: str
    system: str = "posix"
    basedir: str
    numcpus: int = 1
    environ: dict[str, str] = {}
    #: remote command -> version, as Buildbot's own worker reports them
    worker_commands: dict[str, str] = {}
    admin: str | None = None
    host: str | None = None
    access_uri: str | None = None
    #: what else the machine tells, as Buildbot's worker does: `os_id` and more of os-release(5), files of `info/`
    facts: dict[str, str] = {}
    #: encoding of the text that commands print
    encoding: str = "utf-8"


class Command(Part):
    """One Buildbot remote command. `args` holds JSON values only; readers and writers are left out."""

    n: Positive
    name: str = Field(min_length=1, max_length=64)
    args: dict[str, Any]
    #: `contracts.digest.command_digest`
    digest: Id
    #: for people and logs: the name of the step that runs it
    step: Title = ""


class AgentLock(Part):
    """The work takes `takes` of the `capacity` that all work on one agent shares under this name, whoever offers it."""

    name: str = Field(min_length=1, max_length=128)
    capacity: Natural
    takes: Natural = 1
    #: agent's name -> its capacity, where it differs
    capacities: dict[str, Natural] = {}


class Offer(Greeting):
    """`bb.offers`: a build, or a build-step's commands, looks for an agent."""

    t: Literal["offer"] = "offer"
    offer: Id
    #: what the work is for, stable across restarts of the master: "br-17" or "br-17/step-4"
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
    builddir: Annotated[str, Field(min_length=1, max_length=COMPONENT_MAX), AfterValidator(_component)]
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


class Executing(Part):
    """A command that a session knows: started at least once."""

    n: Positive
    digest: Id
    completed: bool


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


class Seal(Part):
    """By which the agent makes the keys of the session (rule 24, `contracts.trust.sealing`)."""

    #: the master's public key for this seal
    key: Key
    #: that the session is granted for; a part of what the keys are made of
    signature: str = Field(min_length=1, max_length=240)


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


class Marker(Message):
    """A bridge to itself, through its claims queue: all that was under way before it is in (rule 10)."""

    t: Literal["marker"] = "marker"
    incarnation: Id
    k: Natural


class SlotStatus(Part):
    """What one slot does. `since`: seconds since the epoch."""

    state: Literal["idle", "claiming", "held", "aside"]
    session: str | None = None
    master: str | None = None
    title: Title = ""
    since: float = 0.0


class Status(Greeting):
    """`bb.fleet`, transient: what an agent is, can and does."""

    t: Literal["status"] = "status"
    instance: Id
    agent: str
    epoch: Natural
    address: Address
    version: str
    #: seconds since the epoch, the agent's clock
    now: float
    state: Literal["starting", "ready", "draining", "unwell", "paused", "leaving"]
    reasons: tuple[Text, ...] = ()
    slots: tuple[SlotStatus, ...]
    capabilities: tuple[Capability, ...]
    #: names of the cap.* queues it consumes when idle
    queues: tuple[str, ...] = ()
    #: when the agent's process began, seconds since the epoch; 0: not told
    started: float = 0.0
    #: capability -> how it was found ("command /usr/bin/gcc --version"), for people. Told when it changed, at a new
    #: connection and to who asks, not each time: it is the longest part
    found: dict[str, Text] = {}


class Catalogue(Greeting):
    """`bb.fleet`: the signatures for which a master has columns."""

    t: Literal["catalogue"] = "catalogue"
    master: Name
    incarnation: Id
    signatures: tuple[str, ...]
    #: seconds since the epoch, the master's clock; 0: not told
    now: float = 0.0
    #: when this master last made a queue anew that somebody had deleted, by the same clock; 0: never. News: whoever
    #: misses one of these queues looks for it again
    made: float = 0.0


class ExpectedStart(Part):
    """When a waiting request will have an agent, as far as can be told: seconds since the epoch. 8 of 10 are meant to
    begin between `early` and `late`."""

    early: float
    likely: float
    late: float


class WorkView(Part):
    """One request of a master that looks for an agent or has one."""

    request: str
    title: Title = ""
    kind: Literal["build", "command"] = "build"
    signature: str = ""
    #: window, waiting, granted, held, missing or unasked: the bridge's state of it
    state: str
    #: seconds since the epoch
    since: float
    session: str | None = None
    agent: str | None = None
    instance: str | None = None
    #: how many agents it has cost their lives (rule 20)
    lives: Natural = 0
    #: of one that waits, where that can be told
    expected: ExpectedStart | None = None


class Work(Greeting):
    """`bb.fleet`, transient: what a master's requests do, for people who ask."""

    t: Literal["work"] = "work"
    master: Name
    incarnation: Id
    #: seconds since the epoch, the master's clock
    now: float
    #: version of the bridge's program
    version: str = ""
    requests: tuple[WorkView, ...] = ()
    #: requests left out, where there are too many for one message
    more: Natural = 0


class Steer(Greeting):
    """`bb.control`: an operator asks an agent to change what it does with new work.

    drain    end what is held, take nothing new, stay: state "paused" until resumed, across restarts
    resume   take work again
    leave    end what is held, then exit
    stop     give back what is held at once, killing what runs, and exit
    restart  begin anew as a process; what runs, runs on
    probe    find out the capabilities anew
    """

    t: Literal["steer"] = "steer"
    #: None: every agent that hears it
    instance: str | None = None
    order: Literal["drain", "resume", "leave", "stop", "restart", "probe"]
    reason: Text = ""


#: What `bb.fleet` carries.
FleetMessage = Union[Status, Catalogue, Work]

AnyMessage = Annotated[
    Union[
        Offer, Claim, Resume, Accept, Gone, Grant, Refuse, Later, Hold, Start, Interrupt, Ping, Stored, Replay,
        Release, Event, Pull, Data, Sealed, RollCall, Alive, Marker, Status, Catalogue, Work, Steer,
    ],
    Field(discriminator="t"),
]  # fmt: skip
