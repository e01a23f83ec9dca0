"""A bridge's machine on a table: say what happens, look at what it asks for."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

from contracts.messages import (
    Accept,
    AnyMessage,
    Capability,
    Claim,
    Event,
    Executing,
    Gone,
    Marker,
    Resume,
    WorkerInfo,
)
from contracts.trust.tickets import Tickets
from master_bridge.core.actions import Ack, Action, PublishOffer, Send, SendMarker
from master_bridge.core.inputs import (
    EventStored,
    Input,
    LinkDown,
    LinkUp,
    MessageReceived,
    PreparedCommand,
    Returned,
    Seek,
    StartCommand,
    Tick,
)
from master_bridge.core.machine import BridgeConfig, BridgeMachine

A = TypeVar("A")
#: those of the bridge on the table
TICKETS = Tickets(b"a secret of exactly 32 bytes ...", master="m")
WORKER = WorkerInfo(version="1.0", basedir="/work")
MAKE = PreparedCommand(name="shell", args={"command": ["make"]}, digest="d-make")
TEST = PreparedCommand(name="shell", args={"command": ["make", "test"]}, digest="d-test")


class Agent:
    """What one agent would say in one session."""

    def __init__(self, name: str, *, session: str = "", request: str = "br-1", run: int = 1, user: str = "") -> None:
        self.name = name
        self.user = user or f"u-{name}"
        self.session = session or f"s-{name}"
        self.request, self.run, self.epoch = request, run, 1
        self.offer = "o-1"
        #: when its last grant was made, seconds since the epoch
        self.made = 1.0

    @property
    def address(self) -> str:
        return f"agent.{self.user}.i-{self.name}.{self.epoch}"

    def _common(self) -> dict[str, Any]:
        return {
            "session": self.session, "offer": self.offer, "request": self.request, "master": "m", "run": self.run,
            "instance": f"i-{self.name}", "agent": self.name, "epoch": self.epoch, "address": self.address,
        }  # fmt: skip

    @property
    def offered(self) -> str:
        """The ticket of an offer of its request."""
        kind: Literal["build", "command"] = "command" if "/" in self.request else "build"
        return TICKETS.for_offer(kind, request=self.request, signature="any", run=self.run, made=1.0)

    @property
    def granted(self) -> str:
        """The ticket of a grant of its session."""
        return TICKETS.for_grant(
            request=self.request, signature="any", run=self.run, session=self.session, user=self.user, made=self.made
        )

    def claim(self, offer: str, ticket: str | None = None) -> Claim:
        self.offer = offer
        capabilities = (Capability(name="gtk", version="3"),)
        shown = self.offered if ticket is None else ticket
        return Claim(**self._common(), worker=WORKER, capabilities=capabilities, ticket=shown)

    def resume(self, *commands: Executing, ticket: str | None = None) -> Resume:
        shown = self.granted if ticket is None else ticket
        return Resume(**self._common(), worker=WORKER, commands=commands, ticket=shown)

    def accept(self, incarnation: str = "inc-1", ticket: str | None = None) -> Accept:
        return Accept(**self._common(), incarnation=incarnation, ticket=self.granted if ticket is None else ticket)

    def gone(self, reason: Any = "unknown", ticket: str | None = None) -> Gone:
        return Gone(
            session=self.session, request=self.request, master="m", epoch=self.epoch, address=self.address,
            reason=reason, ticket=self.granted if ticket is None else ticket,
        )  # fmt: skip

    def event(self, seq: int, n: int = 1, kind: Any = "stdout", **more: Any) -> Event:
        return Event(session=self.session, seq=seq, n=n, kind=kind, **more)


def executing(n: int = 1, *, completed: bool = False) -> Executing:
    return Executing(n=n, digest="d-make", completed=completed)


class Scene:
    """A bridge and its clock. `last` holds the actions of the last thing that happened."""

    def __init__(self, *, grace: float = 5.0, link: bool = True) -> None:
        ids = itertools.count(1)
        config = BridgeConfig(
            master="m", incarnation="inc-1", grace=grace, wall=lambda now: 1e9 + now, user="bridge", tickets=TICKETS
        )
        self.machine = BridgeMachine(config=config, new_id=lambda: f"o-{next(ids)}", now=0.0)
        self.now = 0.0
        self.last: list[Action] = []
        self.all: list[Action] = []
        self._deliveries = itertools.count(1)
        if link:
            self.do(LinkUp())

    def do(self, input: Input) -> list[Action]:
        self.last = self.machine.handle(input, self.now)
        self.all += self.last
        return self.last

    def hear(self, message: AnyMessage, user: str, size: int = 100) -> int:
        delivery = next(self._deliveries)
        self.do(MessageReceived(delivery=delivery, message=message, user=user, size=size))
        return delivery

    def says(self, agent: Agent, message: AnyMessage) -> int:
        return self.hear(message, agent.user)

    def wait(self, seconds: float, *, markers: bool = True) -> list[Action]:
        """Let time pass, ticking at each deadline; markers come back at once unless told otherwise."""
        end, seen = self.now + seconds, []
        while (deadline := self.machine.deadline) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            seen += self.do(Tick())
            if markers:
                for marker in sent(self.last, SendMarker):
                    assert isinstance(marker.message, Marker)
                    self.hear(marker.message, "bridge")
                    seen += self.last
        self.now = end
        self.last = seen
        return seen

    def hear_markers(self) -> None:
        """Those of the last thing come back."""
        for marker in sent(self.last, SendMarker):
            self.hear(marker.message, "bridge")  # type: ignore[arg-type]

    def returned(self, message: AnyMessage, address: str) -> list[Action]:
        return self.do(Returned(message=message, routing_key=address))

    def vanish(self, agent: Agent) -> list[Action]:
        """The agent's queue is gone: the next ping comes back."""
        for send in sent(self.wait(2.0), Send):
            if send.address == agent.address and send.message.t == "ping":  # type: ignore[attr-defined]
                return self.returned(send.message, agent.address)  # type: ignore[arg-type]
        raise AssertionError("no ping was sent")

    def relink(self) -> None:
        self.do(LinkDown())
        self.do(LinkUp())

    # short cuts

    def seek(self, request: str = "br-1", *, run: int = 1, **more: Any) -> list[Action]:
        more = {"kind": "build", "signature": "gtk", "builddir": "linux", "title": "linux #1"} | more
        return self.do(Seek(request=request, run=run, **more))

    def settle(self) -> list[Action]:
        """The roll call is over."""
        return self.wait(2.0)

    def offered(self, request: str = "br-1", **more: Any) -> str:
        """A request that waits; returns its offer's id."""
        self.settle()
        self.seek(request, **more)
        return sent(self.last, PublishOffer)[0].offer.offer

    def held(self, agent: Agent, *, commands: Sequence[PreparedCommand] = (), **more: Any) -> Agent:
        """A session of `agent`'s that Buildbot has, with these commands started."""
        offer = self.offered(agent.request, run=agent.run, **more)
        self.says(agent, agent.claim(offer))
        self.says(agent, agent.accept())
        for command in commands:
            self.do(StartCommand(request=agent.request, command=command))
        return agent

    def store(self, agent: Agent, seq: int) -> list[Action]:
        return self.do(EventStored(session=agent.session, seq=seq))

    def state(self, request: str = "br-1") -> str:
        return next((view.state for view in self.machine.requests() if view.request == request), "none")

    def to(self, agent: Agent) -> list[str]:
        """Types of the messages that the last thing sent to the agent's present address."""
        return [send.message.t for send in sent(self.last, Send) if send.address == agent.address]  # type: ignore[attr-defined]

    def acked(self) -> list[int]:
        return [ack.delivery for ack in sent(self.last, Ack)]


def sent(actions: Sequence[Action], kind: type[A]) -> list[A]:
    return [action for action in actions if isinstance(action, kind)]
