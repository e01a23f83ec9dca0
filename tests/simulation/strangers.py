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
    from tests.simulation.plan import Fault
    from tests.simulation.world import World

_STRANGER = "mallory"
_ADDRESS = control_address(_STRANGER, "i-mallory", "n")
_WORKER = WorkerInfo(version="0", basedir="/")
_COMMAND = Command(n=1, name="shell", args={"duration": 1.0, "rc": 0, "chunks": 1}, digest="forged")
#: A session that no agent has; what is answered to messages about it is of nobody's concern either.
FORGED = "s-forged"
#: Longest run of one fault's messages.
_MOST = 30


def send_strange(world: World, fault: Fault) -> None:
    """Up to 30 messages that are broken or forged."""
    dice = random.Random(fault.detail)
    forger = _Forger(world, dice)
    made = [dice.choice(forger.ways)() for _ in range(dice.randint(1, _MOST))]
    _send(world, [(exchange, key, _wire(body)) for exchange, key, body in made])


def send_again(world: World, fault: Fault) -> None:
    """Up to 30 of the last 400 messages that the hosts sent, as they were, under the same names.

    But first deliveries of command offers: those run at once wherever they come from, which only signing prevents.
    """
    dice = random.Random(fault.detail)
    known = [sent for sent in world.recorded if not _runs_at_once(read(sent.body))]
    chosen = dice.sample(known, min(len(known), dice.randint(1, _MOST)))
    _send(world, [(sent.exchange, sent.routing_key, sent.body) for sent in chosen])


def _runs_at_once(message: Any) -> bool:
    return isinstance(message, Offer) and bool(message.commands) and not message.ask


def _wire(body: Any) -> Wire:
    """A message, or what is none, as it comes to a queue."""
    return Wire(type="", content_type="", body=body) if isinstance(body, bytes) else encode(body)


def _send(world: World, messages: list[tuple[str, str, Wire]]) -> None:
    if not world.broker.up:
        return
    world.note("fault", lambda: f"sends {[(key, body.type or body.body) for _, key, body in messages]}")
    channel = world.broker.connect("stranger").channel()
    for exchange, key, body in messages:
        if not any(body is one for one in world.strange):
            world.strange.append(body)
        channel.publish(publication(exchange, key, body))
    channel.connection.close()


class _Forger:
    """Makes (exchange, key, body)."""

    def __init__(self, world: World, dice: random.Random) -> None:
        self._world = world
        self._dice = dice
        self.ways: tuple[Callable[[], tuple[str, str, Any]], ...] = (
            self._garbage,
            self._to_bridge,
            self._to_agent,
            self._offer,
        )

    def _session(self) -> tuple[str, str]:
        """(session, request) of a session that there is, or of none."""
        metas = [agent.disk.meta(session) for agent in self._world.agents for session in sorted(agent.disk.metas)]
        if metas and self._dice.random() < 0.8:
            meta = self._dice.choice(metas)
            return meta.session, meta.offer.request
        return FORGED, "br-forged"

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
        master = dice.choice(self._world.plan.masters)
        session, request = self._session()
        named = dice.choice((*self._world.plan.masters, "nobody"))
        epoch = dice.choice((1, 1000))
        address = dice.choice((_ADDRESS, *self._addresses()))
        common: dict[str, Any] = {
            "session": session, "offer": "o-1", "request": request, "master": named, "run": 10**6,
            "instance": "i-mallory", "agent": _STRANGER, "epoch": epoch, "address": address,
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

    def _incarnation(self, master: str) -> str:
        return self._world.ledger.incarnations.get(master) or "none"

    def _to_agent(self) -> tuple[str, str, Any]:
        """From another master than the session's, from an incarnation that is none, or what only an agent says."""
        dice = self._dice
        session, request = self._session()
        owner = request.split("-")[0]
        others = [master for master in self._world.plan.masters if master != owner]
        named = dice.choice((*others, "nobody"))
        forged = dice.choice([self._incarnation(master) for master in others] + ["inc-forged"])
        numbers = {"session": session, "incarnation": forged, "stored": dice.choice((0, 10**6))}
        body: Any = dice.choice(
            (
                lambda: Grant(session=session, master=named, incarnation=forged, run=1, stored=0),
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
        if forged != "inc-forged" and dice.random() < 0.2:
            body = Release(session=session, incarnation=forged)
        return CONTROL, dice.choice(self._addresses()), body

    def _offer(self) -> tuple[str, str, Any]:
        """Of a master that does not exist, or of one that wants nothing of the kind; or no offer at all."""
        dice = self._dice
        queue = dice.choice(self._world.cap_queues or ["cap.none"])
        body: Any = Offer(
            offer=f"o-forged-{dice.randrange(10**9)}",
            request="br-forged",
            master=dice.choice((*self._world.plan.masters, "nobody")),
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
