"""What nobody should send, as a fault of a schedule: broken, forged and replayed messages at every queue.

All of it is kept in `world.strange`: what is rejected ends in `dead`, and nothing else may be found there.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from contracts.codec import Wire, encode
from contracts.messages import (
    Accept,
    Claim,
    Command,
    Event,
    Gone,
    Grant,
    Hold,
    Interrupt,
    Later,
    Marker,
    Offer,
    Ping,
    Pull,
    Refuse,
    Release,
    Replay,
    Resume,
    Start,
    Stored,
    WorkerInfo,
)
from contracts.topology import CONTROL, FLEET, OFFERS, REPLIES, STATUS_KEY, claims_key, control_address, events_key
from tests.simulation.world import publication, read

if TYPE_CHECKING:
    from contracts.testing.memory_broker.channels import Channel
    from contracts.testing.memory_broker.queues import Publication
    from tests.simulation.plan import Fault
    from tests.simulation.world import World
    from worker_agent.core.inputs import SessionMeta

_STRANGER = "mallory"
_ADDRESS = control_address(_STRANGER, "i-mallory", "n")
_WORKER = WorkerInfo(version="0", basedir="/")
_COMMAND = Command(n=1, name="shell", args={"duration": 1.0, "rc": 0, "chunks": 1}, digest="forged")
#: A session that no agent has; what is answered to messages about it is of nobody's concern either.
FORGED = "s-forged"
FORGED_REQUEST = "br-forged"
#: Longest run of one fault's messages.
_MOST = 30


def send_strange(world: World, fault: Fault) -> None:
    """Up to 30 messages that are broken or forged."""
    dice = random.Random(fault.detail)
    forger = _Forger(world, dice)
    _send(world, [forger.make() for _ in range(dice.randint(1, _MOST))])


def send_again(world: World, fault: Fault) -> None:
    """Up to 30 of the last 400 messages that the hosts sent, as they were, under the same names.

    But first deliveries of command offers: those run at once wherever they come from, which only signing prevents.
    """
    dice = random.Random(fault.detail)
    known = [sent for sent in world.recorded if not _runs_at_once(read(sent.body))]
    chosen = dice.sample(known, min(len(known), dice.randint(1, _MOST)))
    _send(world, [publication(sent.exchange, sent.routing_key, sent.body, user=sent.user_id) for sent in chosen])


def _runs_at_once(message: Any) -> bool:
    return isinstance(message, Offer) and bool(message.commands) and not message.ask


def _wire(body: Any) -> Wire:
    """A message, or what is none, as it comes to a queue."""
    return Wire(type="", content_type="", body=body) if isinstance(body, bytes) else encode(body)


def _send(world: World, messages: list[Publication]) -> None:
    if not world.broker.up:
        return
    world.note("fault", lambda: f"sends {[(m.routing_key, m.body.type or m.body.body) for m in messages]}")
    connections = []
    channels: dict[str, Channel] = {}
    for message in messages:
        if not any(message.body is one for one in world.strange):
            world.strange.append(message.body)
        if message.user_id not in channels:
            connections.append(world.broker.connect("stranger", user=message.user_id))
            channels[message.user_id] = connections[-1].channel()
        channels[message.user_id].publish(message)
    for connection in connections:
        connection.close()


class _Forger:
    """Makes (exchange, key, body) of an account that was stolen, and writes what that account can write."""

    def __init__(self, world: World, dice: random.Random) -> None:
        self._world = world
        self._dice = dice
        self.ways: tuple[Callable[[], tuple[str, str, Any]], ...] = (
            self._garbage,
            self._to_bridge,
            self._thief,
            self._to_agent,
            self._offer,
        )

    def make(self) -> Publication:
        """Under its own name; with another's routing key over a queue that dead-letters, as RabbitMQ allows."""
        exchange, key, body = self._dice.choice(self.ways)()
        if exchange == REPLIES and self._dice.random() < 0.3:
            key = key.replace(_STRANGER, self._dice.choice(("agents", "bridge-m1")), 1)
            return publication(exchange, key, _wire(body), user=_STRANGER, dead_lettered=True)
        return publication(exchange, key, _wire(body), user=_STRANGER)

    def _metas(self) -> list[SessionMeta]:
        return [agent.disk.meta(session) for agent in self._world.agents for session in sorted(agent.disk.metas)]

    def _session(self) -> tuple[str, str]:
        """(session, request) of a session that there is, or of none: of a request that there is, or of none."""
        metas = [meta for meta in self._metas() if meta.offer.user != _STRANGER]  # of its own offer it is the master
        if metas and self._dice.random() < 0.8:
            meta = self._dice.choice(metas)
            return meta.session, meta.offer.request
        requests = [request for master in self._world.masters for request in sorted(master.jobs)]
        return FORGED, self._dice.choice([*requests, FORGED_REQUEST])

    def _addresses(self) -> list[str]:
        return sorted(name for name in self._world.broker.queues if name.startswith("agent.")) or [_ADDRESS]

    def _garbage(self) -> tuple[str, str, Any]:
        dice, master = self._dice, self._dice.choice(self._world.plan.masters)
        body = dice.choice(
            (
                dice.randbytes(dice.randrange(40)),
                b'{"t": "claim"}',
                b'{"t": "offer", "v": 1}',
                b'{"t": "offer", "v": 0}',
                b"[" * 5000,
                b"null",
            )
        )
        exchange, key = dice.choice(
            (
                (REPLIES, claims_key(_STRANGER, master)),
                (REPLIES, events_key(_STRANGER, master)),
                (CONTROL, dice.choice(self._addresses())),
                (OFFERS, dice.choice(self._world.cap_queues or ["cap.none"])),
                (FLEET, STATUS_KEY),
            )
        )
        return exchange, key, body

    def _to_bridge(self) -> tuple[str, str, Any]:
        """Somebody else's session, another master's name, an address that is not his, a marker."""
        dice = self._dice
        session, request = self._session()
        masters = self._world.plan.masters
        master = next((name for name in masters if request.startswith(f"{name}-")), dice.choice(masters))
        named = dice.choice((master, master, "nobody"))
        epoch = dice.choice((1, 1000))
        address = dice.choice((_ADDRESS, dice.choice(self._addresses())))
        common: dict[str, Any] = {
            "session": session, "offer": "o-1", "request": request, "master": named, "run": dice.choice((1, 10**6)),
            "instance": "i-mallory", "agent": _STRANGER, "epoch": epoch, "address": address, "ticket": self._ticket(),
        }  # fmt: skip
        body: Any = dice.choice(
            (
                lambda: Claim(**common, worker=_WORKER),
                lambda: Resume(**common, worker=_WORKER),
                lambda: Accept(**common, incarnation=self._incarnation(master)),
                lambda: Gone(
                    session=session, request=request, master=named, epoch=epoch, address=address, reason="lost"
                ),
                lambda: Event(session=session, seq=dice.choice((1, 2, 1000)), n=1, kind="completed"),
                lambda: Pull(session=session, n=1, offset=0, length=100),
                lambda: Marker(incarnation=self._incarnation(master), k=10**6),
                lambda: Refuse(session=session, master=master, re="resume", reason="forged"),
            )
        )()
        key = dice.choice((claims_key, events_key))(_STRANGER, master)
        return REPLIES, key, body

    def _thief(self) -> tuple[str, str, Any]:
        """All is right, the request and his own address too, but for what he was never given: the ticket."""
        requests = [(host.name, request) for host in self._world.masters for request in sorted(host.jobs)]
        if not requests:
            return self._to_bridge()
        master, request = self._dice.choice(requests)
        common: dict[str, Any] = {
            "session": f"s-thief-{self._dice.randrange(10**6)}", "offer": "o-1", "request": request, "master": master,
            "run": self._dice.choice((1, 2, 10**6)), "instance": "i-mallory", "agent": _STRANGER, "epoch": 1,
            "address": _ADDRESS, "ticket": self._ticket(),
        }  # fmt: skip
        body = self._dice.choice((Resume, Resume, Claim))(**common, worker=_WORKER)
        return REPLIES, claims_key(_STRANGER, master), body

    def _ticket(self) -> str:
        """One that it made up, or one of another session's, which it has overheard."""
        overheard = [ticket for meta in self._metas() for ticket in (meta.ticket, meta.offer.ticket) if ticket]
        return self._dice.choice(overheard) if overheard and self._dice.random() < 0.5 else "grant:1:0:0:forged"

    def _incarnation(self, master: str) -> str:
        return self._world.ledger.incarnations.get(master) or "none"

    def _to_agent(self) -> tuple[str, str, Any]:
        """In a master's name, from an incarnation that is none, or what only an agent says."""
        dice = self._dice
        session, request = self._session()
        named = dice.choice((*self._world.plan.masters, "nobody"))
        forged = dice.choice([self._incarnation(master) for master in self._world.plan.masters] + ["inc-forged"])
        numbers = {"session": session, "incarnation": forged, "stored": dice.choice((0, 10**6))}
        body: Any = dice.choice(
            (
                lambda: Grant(session=session, master=named, incarnation=forged, run=1, stored=0, ticket="forged"),
                lambda: Refuse(session=session, master=named, re=dice.choice(("claim", "resume")), reason="forged"),
                lambda: Later(session=session, master=named, request=request),
                lambda: Hold(session=session, master=named, request=request),
                lambda: Start(session=session, incarnation=forged, command=_COMMAND),
                lambda: Interrupt(session=session, incarnation=forged, n=1, reason="forged"),
                lambda: Ping(**numbers),
                lambda: Stored(**numbers),
                lambda: Replay(**numbers),
                lambda: Event(session=session, seq=1, n=1, kind="stdout"),
            )
        )()
        if dice.random() < 0.2:
            body = Release(session=session, incarnation=forged)
        return CONTROL, dice.choice(self._addresses()), body

    def _offer(self) -> tuple[str, str, Any]:
        """Of a master that does not exist, or of one that wants nothing of the kind; or no offer at all."""
        dice = self._dice
        queue = dice.choice(self._world.cap_queues or ["cap.none"])
        body: Any = Offer(
            offer=f"o-forged-{dice.randrange(10**9)}",
            request=FORGED_REQUEST,
            master=dice.choice((*self._world.plan.masters, "nobody")),
            user=_STRANGER,
            ticket="build:1:0:0:forged",
            run=1,
            signature="gtk",
            kind="build",
            ask=True,
            published=0.0,
            builddir="b",
        )
        if dice.random() < 0.3:
            body = Event(session=FORGED, seq=1, n=1, kind="stdout")
        return OFFERS, queue, body
