"""All frames, each with who sends it. Numbers and deliveries count within one connection."""

from __future__ import annotations

from typing import Annotated, Literal, Union

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from contracts.message_parts import Address, Natural, Text, Title
from contracts.topology import OPERATORS_PREFIX

#: The version of the frames, which has nothing to do with that of the messages in them.
FRAMES_VERSION = 1

#: A queue's name: AMQP 0-9-1 allows 255 bytes.
Queue = Annotated[str, Field(min_length=1, max_length=255)]
#: "ADDRESS PORT" (`both_ends.py`).
End = Annotated[str, Field(max_length=64)]
#: There of one `ConsumeFrom` or `LookFor`.
QUEUES_MAX = 2_000


class _Frame(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Carried(BaseModel):
    """A message of the protocol as `contracts.codec.Wire` has it, without its body: that is the frame's raw bytes."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    type: Annotated[str, Field(max_length=64)]
    content_type: Annotated[str, Field(max_length=64)]
    headers: dict[str, str] = Field(default_factory=dict, max_length=16)


class Hello(_Frame):
    """Agent: the first frame. `token`: the account's secret; none where a client certificate names the account."""

    f: Literal["hello"] = "hello"
    version: Natural = FRAMES_VERSION
    role: Literal["agent", "operator"] = "agent"
    user: Annotated[str, Field(max_length=128)]
    token: SecretStr | None = None
    agent: Title
    address: Address


class Welcome(_Frame):
    """Office: the login is good; `address` is there from now on. Nobody waits longer than `silence` for a frame."""

    f: Literal["welcome"] = "welcome"
    version: Natural
    product: Title
    #: seconds; each side sends a frame (`Beat`, where there is nothing else) three times as often
    silence: Annotated[float, Field(gt=0, le=3600)]


class Denied(_Frame):
    """Office: it is not, and the connection ends. `part`: what has to be mended."""

    f: Literal["denied"] = "denied"
    part: Literal["login", "version", "address", "full", "master"]
    reason: Text


class Say(_Frame):
    """Agent: take this message. Answered by `Answer`, in the order of the numbers.

    `to`: the master's claims or events, everybody's view of the fleet (a status; nobody need hear it), or `dead`.
    An operator says things to one agent or to all (`control`; `key` is the address, `all` or `tell`), to itself
    (`claims` of the name for which it receives replies), and nothing else.
    """

    f: Literal["say"] = "say"
    number: Natural
    to: Literal["claims", "events", "fleet", "dead", "control"]
    key: Annotated[str, Field(max_length=255)]
    #: seconds after which nobody need have it any more
    expires: Annotated[float, Field(gt=0)] | None = None
    message: Carried


class Answer(_Frame):
    """Office: what became of it. `returned`: nobody is there; `full`: said again later it may be taken."""

    f: Literal["answer"] = "answer"
    number: Natural
    outcome: Literal["taken", "returned", "full"]


class ConsumeFrom(_Frame):
    """Agent: hand out one offer of these queues, and no others.

    After each offer the office hands out none before the next `ConsumeFrom` whose `seen` counts that offer, too: so two
    are never on their way to one agent at once, and a `ConsumeFrom` that crossed an offer changes nothing.
    """

    f: Literal["consume"] = "consume"
    queues: Annotated[tuple[Queue, ...], Field(max_length=QUEUES_MAX)]
    #: offers that came on this connection so far
    seen: Natural


class Offered(_Frame):
    """Office: an offer, until it is settled or the connection ends; numbered from 1."""

    f: Literal["offered"] = "offered"
    delivery: Natural
    queue: Queue
    #: the verified account that published it
    user: Annotated[str, Field(max_length=128)]
    redelivered: bool
    #: how often it was parked
    parkings: Natural
    message: Carried


class Settle(_Frame):
    """Agent: what becomes of an offer. `reason` is for `dead`."""

    f: Literal["settle"] = "settle"
    delivery: Natural
    how: Literal["ack", "park", "back", "dead"]
    reason: Text = ""


class Told(_Frame):
    """Office: a message for this agent, with what RabbitMQ says of one: exchange, routing key and verified user."""

    f: Literal["told"] = "told"
    exchange: Annotated[str, Field(max_length=64)]
    key: Annotated[str, Field(max_length=255)]
    user: Annotated[str, Field(max_length=128)]
    message: Carried


class LookFor(_Frame):
    """Agent: which of these queues are there? Answered by `There`."""

    f: Literal["look_for"] = "look_for"
    number: Natural
    queues: Annotated[tuple[Queue, ...], Field(max_length=QUEUES_MAX)]


class There(_Frame):
    """Office: these of them."""

    f: Literal["there"] = "there"
    number: Natural
    queues: Annotated[tuple[Queue, ...], Field(max_length=QUEUES_MAX)]


class Missing(_Frame):
    """Office: a queue that is consumed is not there (any more)."""

    f: Literal["missing"] = "missing"
    queue: Queue


class CountQueues(_Frame):
    """Operator: how full are these queues, or all where none is named? Answered by `Counted`."""

    f: Literal["count_queues"] = "count_queues"
    number: Natural
    queues: Annotated[tuple[Queue, ...], Field(max_length=QUEUES_MAX)] = ()


class QueueCount(BaseModel):
    """`ready`: messages that nobody has; `held`: with somebody, and not settled; `consumers`: who wants the next."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    queue: Queue
    ready: Natural
    held: Natural
    consumers: Natural


class Counted(_Frame):
    """Office: those of them that are there, by name, and no more than fit into one frame."""

    f: Literal["counted"] = "counted"
    number: Natural
    counts: Annotated[tuple[QueueCount, ...], Field(max_length=QUEUES_MAX)]


class NextDead(_Frame):
    """Operator: the message in `dead` behind number `after` (0: the first). Answered by `OfDead`."""

    f: Literal["next_dead"] = "next_dead"
    number: Natural
    after: Natural


class OfDead(_Frame):
    """Office: what could not be read or placed; `message` None: there is none behind that one. `place`: its number.

    `key`: under which it was put there, by the verified account `user`.
    """

    f: Literal["of_dead"] = "of_dead"
    number: Natural
    place: Natural = 0
    key: Annotated[str, Field(max_length=255)] = ""
    user: Annotated[str, Field(max_length=128)] = ""
    message: Carried | None = None


class SettleDead(_Frame):
    """Operator: drop this message of `dead`, or send it to `queue` once more. Answered by `Answer`.

    What is sent again has the bytes and the signature that it had, and is marked as sent again by this operator.
    """

    f: Literal["settle_dead"] = "settle_dead"
    number: Natural
    place: Natural
    how: Literal["drop", "again"]
    queue: Annotated[str, Field(max_length=255)] = ""
    priority: Natural = 0


class Receive(_Frame):
    """Operator: what agents say to `master` comes here, until the connection ends. Answered by `Answer`.

    The name is of the operator's own program: it begins with `operator-`. A later connection of the same account has it
    from an earlier one; `returned`: it is another account's.
    """

    f: Literal["receive"] = "receive"
    number: Natural
    master: Annotated[str, Field(pattern=f"^{OPERATORS_PREFIX}[A-Za-z0-9_-]+$", max_length=128)]


class AgentReply(_Frame):
    """Office: what the verified account `user` said to the name for which the operator receives."""

    f: Literal["reply"] = "reply"
    delivery: Natural
    to: Literal["claims", "events"]
    user: Annotated[str, Field(max_length=128)]
    message: Carried


class Received(_Frame):
    """Operator: the reply of that number is done with."""

    f: Literal["received"] = "received"
    delivery: Natural


class Beat(_Frame):
    """Both: here still. `ends`: an agent's; from now on all of its processes that keep sessions hold this connection.

    So when the master sees it closed, without a reset and without a `Bye`, none of them is left. They are the two ends
    of the TCP connection as the agent sees them, its own first: where the master sees others, something between them
    ends connections by itself, and nothing follows.
    """

    f: Literal["beat"] = "beat"
    ends: tuple[End, End] | None = None


class Bye(_Frame):
    """Both: the connection ends now; `reason` is for people."""

    f: Literal["bye"] = "bye"
    reason: Text


OfOffice = Union[Welcome, Denied, Answer, Offered, Told, There, Missing, Counted, OfDead, AgentReply, Beat, Bye]
Frame = Annotated[
    Union[
        Hello, Welcome, Denied, Say, Answer, ConsumeFrom, Offered, Settle, Told, LookFor, There, Missing, CountQueues,
        Counted, NextDead, OfDead, SettleDead, Receive, AgentReply, Received, Beat, Bye,
    ],
    Field(discriminator="f"),
]  # fmt: skip
#: Frames that have raw bytes.
CARRYING = (Say, Offered, Told, OfDead, AgentReply)
