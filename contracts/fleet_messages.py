"""Messages of no session: what agents and masters tell everybody on `bb.fleet`, and what operators ask of agents.

`contracts.messages` has all of it for those who read and write messages.
"""

from __future__ import annotations

from typing import Annotated, Literal, Union

from pydantic import Field

from contracts.message_parts import (
    Address,
    Capability,
    Greeting,
    Id,
    Key,
    Name,
    Natural,
    Part,
    StatusInterval,
    Text,
    Title,
)
from contracts.timing import STATUS_INTERVAL, STATUSES_MISSED


class SlotStatus(Part):
    """What one slot does. `since`: seconds since the epoch."""

    state: Literal["idle", "claiming", "held", "aside"]
    session: str | None = None
    master: str | None = None
    title: Title = ""
    since: float = 0.0
    #: rule 26: an operator's session, beside the slots for builds; left out where it is not
    direct: Annotated[bool, Field(exclude_if=lambda value: not value)] = False


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
    found: dict[str, Text] = Field(default={})
    #: public key (X25519, 64 hexadecimal digits) for what only this agent may read (`Move`); None: it cannot be moved
    key: Key | None = None
    #: rule 26: it takes offers that an operator tells it; left out where it does not
    direct: Annotated[bool, Field(exclude_if=lambda value: not value)] = False
    #: rule 27: seconds until it tells its next status, at the latest
    every: StatusInterval = int(STATUS_INTERVAL)

    @property
    def silent_after(self) -> float:
        """Seconds without another status after which the agent is silent, and forgotten."""
        return STATUSES_MISSED * float(self.every)

    @property
    def for_builds(self) -> tuple[SlotStatus, ...]:
        """Its slots, without operators' sessions, which take none of them."""
        return tuple(slot for slot in self.slots if not slot.direct)


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
    """One request of a master that looks for an agent, or has one, or for which Buildbot lets nobody look yet."""

    request: str
    title: Title = ""
    kind: Literal["build", "command"] = "build"
    signature: str = ""
    #: window, waiting, granted, held, missing or unasked: the bridge's state of it; pending: Buildbot holds it back,
    #: its `title` is its builder's name, and it has no signature yet
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
    #: a higher one goes first
    priority: int = 0
    #: of a pending one, for people: what Buildbot waits for
    reason: Text = ""


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


class Move(Greeting):
    """`bb.control`: an operator tells an agent to another place, where the same masters are: another URL.

    It is tried first; the agent stays where it is until it has logged in there.
    """

    t: Literal["move"] = "move"
    instance: Id
    #: the sender's ephemeral public key for HPKE
    key: Key
    #: the destination (`contracts.trust.moving`), encrypted to the key that this agent tells, in hexadecimal digits
    sealed: Annotated[str, Field(pattern="^(?:[0-9a-f]{2})+$", max_length=128 * 1024)]


#: What `bb.fleet` carries.
FleetMessage = Union[Status, Catalogue, Work]
