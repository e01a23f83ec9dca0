"""An agent's machine with its surroundings played by hand: tests say what happens, and look at what it does."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, TypeVar

from contracts.messages import (
    Alive,
    AnyMessage,
    Capability,
    Command,
    Event,
    Grant,
    Hold,
    Interrupt,
    Later,
    Offer,
    Ping,
    Refuse,
    Release,
    Replay,
    RollCall,
    Seal,
    Start,
    Stored,
    WorkerInfo,
)
from contracts.trust.sealing import OF_MASTER
from worker_agent.core import actions, inputs
from worker_agent.core.config import AgentConfig
from worker_agent.core.journal import MemoryJournal
from worker_agent.core.machine import AgentMachine

from .watch import Watch

QUEUES = frozenset({"cap.gtk", "cap.python3"})
#: … in the order in which a fresh agent consumes them, and one that claimed an offer of the first
IN_TURN = ("cap.gtk", "cap.python3")
AFTER_GTK = ("cap.python3", "cap.gtk")
#: the broker user of the masters on the table
MASTER = "bridge"
#: wall clock at which connections are opened
OPENED_AT = 1_000_000.0

A = TypeVar("A")


def command(n: int = 1, digest: str = "d", name: str = "shell") -> Command:
    return Command(n=n, name=name, args={}, digest=f"{digest}{n}")


def offer(name: str = "o1", **fields: Any) -> Offer:
    """A build's offer of master `m`, published a second after the connection was opened."""
    number = name.lstrip("o")
    values: dict[str, Any] = {
        "request": f"br-{number}",
        "master": "m",
        "user": MASTER,
        "ticket": "ticket-of-the-offer",
        "run": 1,
        "signature": "gtk",
        "kind": "build",
        "published": OPENED_AT + 100,
        "builddir": "b",
    }
    return Offer(offer=name, **{**values, **fields})


def command_offer(name: str = "o1", *, commands: int = 1, **fields: Any) -> Offer:
    return offer(name, kind="command", commands=tuple(command(n) for n in range(1, commands + 1)), **fields)


def direct_offer(name: str = "o1", **fields: Any) -> Offer:
    """An operator's, of its program `op`."""
    return offer(name, **{"master": "op", "user": "desk", "direct": True, "fencing": 120.0, **fields})


class Agent:
    """The machine of one agent. `at` is the time; `did` what the last input caused."""

    def __init__(
        self,
        slots: int = 1,
        recovered: Sequence[inputs.Recovered] = (),
        journal: MemoryJournal | None = None,
        linked: bool = True,
        seals: bool = True,
    ) -> None:
        self.at = 100.0
        self.journal = MemoryJournal() if journal is None else journal
        self.ids = itertools.count(1)
        self.deliveries = itertools.count(1)
        self.epochs = itertools.count(1)
        self.watch = Watch(slots, recovered)
        config = AgentConfig(
            instance="instance-1",
            agent="builder7",
            slots=slots,
            worker_info=lambda master, slot: WorkerInfo(version="1", basedir=f"/builds/{master}/slot-{slot}"),
            capabilities=lambda: (Capability(name="gtk", version="3.24"),),
            seals=seals,
        )
        self.machine = AgentMachine(
            config=config, journal=self.journal, new_id=lambda: f"s{next(self.ids)}", now=self.at, recovered=recovered
        )
        self.did: list[actions.Action] = []
        self.all: list[actions.Action] = []
        if linked:
            self.tell(inputs.QueuesKnown(queues=QUEUES))
            self.link_up()

    # ---- what happens

    def tell(self, given: inputs.Input) -> list[actions.Action]:
        self.watch.told(given)
        done = self.machine.handle(given, self.at)
        self.all += done
        self.watch.did(given, done)
        self.did = [action for action in done if not isinstance(action, actions.Report)]  # which is for the log only
        deadline = self.machine.deadline
        assert deadline is None or deadline > self.at, f"still due at {deadline}, it is {self.at}"
        return self.did

    def link_up(self) -> list[actions.Action]:
        epoch = next(self.epochs)
        return self.tell(inputs.LinkUp(epoch=epoch, address=f"agent.u.instance-1.n{epoch}", opened_at=OPENED_AT))

    def link_down(self) -> list[actions.Action]:
        return self.tell(inputs.LinkDown())

    def offer(
        self,
        what: Offer,
        *,
        queue: str = "cap.gtk",
        redelivered: bool = False,
        deaths: int = 0,
        repeated: bool = False,
        able: bool | None = True,
    ) -> int:
        """Deliver it, and answer that the machine is `able`, where it is asked; returns the delivery."""
        delivery = self.deliver(what, queue=queue, redelivered=redelivered, deaths=deaths, repeated=repeated)
        asked = self.of(actions.CheckMachine)
        if asked:
            done = [action for action in self.did if action not in asked]
            self.did = done + self.tell(inputs.MachineChecked(delivery=delivery, able=able))
        return delivery

    def deliver(
        self, what: Offer, *, queue: str = "cap.gtk", redelivered: bool = False, deaths: int = 0, repeated: bool = False
    ) -> int:
        """… and leave it at that."""
        delivery = next(self.deliveries)
        self.tell(
            inputs.OfferDelivered(
                delivery=delivery, queue=queue, offer=what, redelivered=redelivered, deaths=deaths, repeated=repeated
            )
        )
        return delivery

    def hear(self, message: AnyMessage, user: str = MASTER, sealed: bool | None = None) -> list[actions.Action]:
        """`sealed` None: as it should come to its session."""
        if sealed is None:
            sealed = isinstance(message, OF_MASTER) and self._is_sealed(message.session)
        return self.tell(inputs.MessageReceived(message=message, user=user, sealed=sealed))

    def _is_sealed(self, session: str) -> bool:
        known = self.machine._state.sessions.get(session)
        return known is not None and known.offer.seal

    def wait(self, seconds: float) -> list[actions.Action]:
        """Let time pass, with a tick at each deadline, as the edge does. Returns all that was done meanwhile."""
        end, done = self.at + seconds, []
        while self.machine.deadline is not None and self.machine.deadline <= end:
            self.at = max(self.at, self.machine.deadline)
            done += self.tell(inputs.Tick())
        self.at = end
        done += self.tell(inputs.Tick())
        self.did = done
        return done

    def confirm(self) -> list[actions.Action]:
        """The broker confirms all that was published last."""
        tokens = [a.token for a in self.did if isinstance(a, actions.Publish) and a.token is not None]
        done: list[actions.Action] = []
        for token in tokens:
            done += self.tell(inputs.Confirmed(token=token))
        self.did = done
        return done

    def write(self, *events: tuple[int, str], session: str = "s1", **fields: Any) -> list[actions.Action]:
        """The keeper journals events, given as (n, kind), and says so."""
        for n, kind in events:
            value = {"name": "shell", "digest": f"d{n}"} if kind == "started" else None
            seq = self.journal.last_seq(session) + 1
            self.journal.append(Event(session=session, seq=seq, n=n, kind=kind, value=value, **fields))
        return self.tell(inputs.Journalled(session=session, seq=self.journal.last_seq(session)))

    # ---- what the bridge says

    def alive(self, master: str = "m", incarnation: str = "I1") -> list[actions.Action]:
        return self.hear(Alive(master=master, incarnation=incarnation))

    def roll_call(self, master: str = "m", incarnation: str = "I1") -> list[actions.Action]:
        return self.hear(RollCall(master=master, incarnation=incarnation))

    def told(self, what: Offer) -> list[actions.Action]:
        """An operator says that it wants this agent."""
        return self.hear(what, user=what.user)

    def grant(
        self,
        session: str = "s1",
        incarnation: str = "I1",
        stored: int = 0,
        run: int = 1,
        master: str = "m",
        user: str = MASTER,
    ) -> list[actions.Action]:
        self.watch.stored(session, stored)
        ticket = f"ticket-of-{incarnation}"
        seal = Seal(key="0" * 64, signature="gtk") if self._is_sealed(session) else None
        return self.hear(
            Grant(
                session=session,
                master=master,
                incarnation=incarnation,
                run=run,
                stored=stored,
                ticket=ticket,
                seal=seal,
            ),
            user,
        )

    def refuse(self, re: str = "claim", session: str = "s1", master: str = "m") -> list[actions.Action]:
        return self.hear(Refuse(session=session, master=master, re=re, reason="because"))

    def later(self, session: str = "s1") -> list[actions.Action]:
        return self.hear(Later(session=session, master="m", request="br-1"))

    def hold(self, session: str = "s1") -> list[actions.Action]:
        return self.hear(Hold(session=session, master="m", request="br-1"))

    def start(
        self, n: int = 1, digest: str = "d", session: str = "s1", incarnation: str = "I1"
    ) -> list[actions.Action]:
        return self.hear(Start(session=session, incarnation=incarnation, command=command(n, digest)))

    def interrupt(self, n: int = 1, session: str = "s1", incarnation: str = "I1") -> list[actions.Action]:
        return self.hear(Interrupt(session=session, incarnation=incarnation, n=n, reason="Stop"))

    def ping(self, stored: int = 0, session: str = "s1", incarnation: str = "I1") -> list[actions.Action]:
        self.watch.stored(session, stored)
        return self.hear(Ping(session=session, incarnation=incarnation, stored=stored))

    def stored(self, stored: int, session: str = "s1", incarnation: str = "I1") -> list[actions.Action]:
        self.watch.stored(session, stored)
        return self.hear(Stored(session=session, incarnation=incarnation, stored=stored))

    def replay(self, stored: int, session: str = "s1", incarnation: str = "I1") -> list[actions.Action]:
        self.watch.stored(session, stored)
        return self.hear(Replay(session=session, incarnation=incarnation, stored=stored))

    def release(self, session: str = "s1", incarnation: str = "I1") -> list[actions.Action]:
        return self.hear(Release(session=session, incarnation=incarnation))

    # ---- common openings

    def held(self, what: Offer | None = None) -> int:
        """A build granted to session s1 by incarnation I1; returns the offer's delivery."""
        delivery = self.offer(what or offer())
        self.grant()
        return delivery

    def running(self, n: int = 1) -> int:
        """A build in which command `n` runs, its `started` event published."""
        delivery = self.held()
        self.start(n)
        self.write((n, "started"))
        return delivery

    # ---- what it did

    def of(self, kind: type[A]) -> list[A]:
        """The last actions of this type."""
        return [action for action in self.did if isinstance(action, kind)]

    def said(self, kind: type[A]) -> list[A]:
        """The messages of this type among the last actions."""
        return [p.message for p in self.of(actions.Publish) if isinstance(p.message, kind)]

    @property
    def seqs(self) -> list[int]:
        """Sequence numbers of the events published last."""
        return [event.seq for event in self.said(Event)]

    @property
    def kinds(self) -> list[str]:
        """The last actions in short: 'Ack', 'claim', 'resume'."""
        return [
            a.message.t if isinstance(a, actions.Publish) else type(a).__name__  # type: ignore[attr-defined]
            for a in self.did
        ]

    @property
    def states(self) -> list[str]:
        return [slot.state for slot in self.machine.slots()]
