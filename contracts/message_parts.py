"""What messages are made of: checked texts and numbers, their bases, and parts that several messages have.

`contracts.messages` has all of it for those who read and write messages.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from contracts.protocol_version import OLDEST_VERSION, VERSION
from contracts.timing import STATUS_INTERVAL, STATUS_INTERVAL_MAX, TEXT_MAX, TITLE_MAX
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
#: The name of a folder: one component of a path.
Component = Annotated[str, Field(min_length=1, max_length=COMPONENT_MAX), AfterValidator(_component)]
#: W3C Trace Context, version 00: the ids of the trace and of the span that what follows is a part of, and flags.
TRACEPARENT = r"^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$"
_Traceparent = Annotated[str, Field(pattern=TRACEPARENT)]
#: … or none: then it is left out of what is written.
Traceparent = Annotated[_Traceparent | None, Field(exclude_if=lambda value: value is None)]
Natural = Annotated[int, Field(ge=0, le=2**53 - 1)]
Positive = Annotated[int, Field(ge=1, le=2**53 - 1)]
#: Seconds between two statuses of one agent (rule 27); left out where it is the usual `STATUS_INTERVAL`.
StatusInterval = Annotated[
    int, Field(ge=int(STATUS_INTERVAL), le=STATUS_INTERVAL_MAX, exclude_if=lambda value: value == STATUS_INTERVAL)
]


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


class Executing(Part):
    """A command that a session knows: started at least once."""

    n: Positive
    digest: Id
    completed: bool


class Seal(Part):
    """By which the agent makes the keys of the session (rule 24, `contracts.trust.sealing`)."""

    #: the master's public key for this seal
    key: Key
    #: that the session is granted for; a part of what the keys are made of
    signature: str = Field(min_length=1, max_length=240)
