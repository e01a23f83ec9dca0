"""A master and a worker on the broker in memory, scripted by a test: no network, no processes, no real time.

`MasterDouble` does what a bridge does for one session after the other, and nothing that it is not told to.
`WorkerDouble` claims what it qualifies for and answers each command with what its script says. Test your own worker
against the one, your own tools against the other; neither is an implementation of the whole protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any, Literal, TypeVar

from contracts import topology
from contracts.codec import decode, encode
from contracts.digest import command_digest
from contracts.messages import (
    Accept,
    Claim,
    Command,
    Event,
    Executing,
    Gone,
    Grant,
    Message,
    Offer,
    Refuse,
    Release,
    Resume,
    RollCall,
    Start,
    Stored,
    WorkerInfo,
)
from contracts.requirements.sets import Requirements
from contracts.testing.columns import capabilities
from contracts.testing.memory_broker.broker import MemoryBroker
from contracts.testing.memory_broker.channels import Delivery
from contracts.testing.memory_broker.queues import Publication, QueueOptions
from contracts.timing import PARKED_TTL
from contracts.trust.tickets import SECRET_BYTES, Tickets

Got = TypeVar("Got", bound=Message)
Kind = Literal["stdout", "stderr", "header", "log", "update", "write", "writer"]
#: What a command says: (kind, value, bytes). The double adds `started` and `completed`.
Said = tuple[Kind, Any, bytes]
Script = Callable[[Command], Iterable[Said]]
#: Seconds since the epoch when a virtual clock stands at 0.
WALL = 1_700_000_000.0


class _Peer:
    """One connection with one channel."""

    def __init__(self, broker: MemoryBroker, name: str, user: str) -> None:
        self.broker = broker
        self.user = user
        self.clock = broker.clock
        self.name = name
        self.received: list[Message] = []
        self.connection = broker.connect(name, user=user)
        self.channel = self.connection.channel()
        for exchange in topology.EXCHANGES:
            broker.declare_exchange(exchange.name, exchange.type.value)

    def say(self, message: Message, exchange: str, key: str, *, expiration: float | None = None) -> None:
        wire = encode(message)
        self.channel.publish(
            Publication(
                exchange=exchange, routing_key=key, body=wire.body, size=len(wire.body), headers=dict(wire.headers),
                type=wire.type, content_type=wire.content_type, expiration=expiration, user_id=self.user,
            )
        )  # fmt: skip

    def all(self, kind: type[Got]) -> list[Got]:
        """What came of this kind, oldest first."""
        return [message for message in self.received if isinstance(message, kind)]

    def wait_for(self, kind: type[Got], where: Callable[[Got], bool] = lambda _: True, *, within: float = 60.0) -> Got:
        """The first message of this kind that fits; lets virtual time pass until it comes. Raises AssertionError."""

        def missing() -> bool:
            return not any(where(message) for message in self.all(kind))

        if not self.clock.run_while(missing, until=self.clock.now + within):
            raise AssertionError(f"{self.name}: no {kind.__name__} within {within:g} s of virtual time")
        return next(message for message in self.all(kind) if where(message))

    def _read(self, delivery: Delivery) -> Any:
        return decode(delivery.publication.body, delivery.publication.headers)


class MasterDouble(_Peer):
    """A master: declares what a bridge declares, and says what the test wants."""

    def __init__(self, broker: MemoryBroker, name: str = "m1", user: str = "bridge") -> None:
        super().__init__(broker, name, user)
        self.tickets = Tickets(name.encode().ljust(SECRET_BYTES, b"."), master=name)
        self.incarnation = f"{name}-1"
        self._numbers = count(1)
        parked = QueueOptions(message_ttl=PARKED_TTL, dead_letter_exchange=topology.OFFERS)
        for queue, options, exchange, key in (
            (topology.claims_queue(name), QueueOptions(), topology.REPLIES, topology.claims_binding(name)),
            (topology.events_queue(name), QueueOptions(), topology.REPLIES, topology.events_binding(name)),
            (topology.PARKED_QUEUE, parked, topology.PARKED, ""),
            (topology.DEAD_QUEUE, QueueOptions(), topology.DEAD, ""),
        ):
            self.channel.declare(queue, options)
            self.channel.bind(queue, exchange, key)
            if exchange == topology.REPLIES:
                self.channel.consume(queue, f"{name} {queue}", self._heard)

    def column(self, *requires: str) -> str:
        """Declare a column's queue; its signature."""
        signature = Requirements.of(requires).signature
        queue = topology.cap_queue(signature)
        self.channel.declare(queue, QueueOptions(dead_letter_exchange=topology.PARKED))
        self.channel.bind(queue, topology.OFFERS, queue)
        return signature

    def offer(self, *requires: str, **fields: Any) -> Offer:
        """Publish an offer to the column with these requirements. `fields`: of `contracts.messages.Offer`."""
        signature, number, now = self.column(*requires), next(self._numbers), WALL + self.clock.now
        fields = {
            "offer": f"{self.name}-o{number}", "request": f"br-{number}", "master": self.name, "user": self.user,
            "run": number, "signature": signature, "kind": "build", "published": now, "builddir": "builder", **fields,
        }  # fmt: skip
        ticket = self.tickets.for_offer(
            fields["kind"], request=fields["request"], signature=fields["signature"], run=fields["run"], made=now
        )
        offer = Offer.model_validate({"ticket": ticket, **fields})
        self.say(offer, topology.OFFERS, topology.cap_queue(signature))
        return offer

    def claimed(self, offer: Offer) -> Claim:
        """The claim of this offer, once it is there. Raises AssertionError where none comes."""
        return self.wait_for(Claim, lambda claim: claim.offer == offer.offer)

    def grant(self, claim: Claim | Resume, *, stored: int = 0) -> Accept:
        """Give the work to who claims it, or held it; returns the accept. `stored`: events that are stored already."""
        ticket = self.tickets.for_grant(
            request=claim.request, signature="", run=claim.run, session=claim.session,
            user=topology.address_user(claim.address), made=WALL + self.clock.now,
        )  # fmt: skip
        grant = Grant(
            session=claim.session, master=self.name, incarnation=self.incarnation, run=claim.run, stored=stored,
            ticket=ticket,
        )  # fmt: skip
        self.tell(claim, grant)
        return self.wait_for(Accept, lambda accept: accept.session == claim.session)

    def refuse(self, claim: Claim, reason: str = "refused by the test") -> None:
        """Give the work to somebody else; `reason` is for people."""
        self.tell(claim, Refuse(session=claim.session, master=self.name, re="claim", reason=reason))

    def run(self, claim: Claim | Resume, n: int, name: str, args: Mapping[str, Any]) -> list[Event]:
        """Start a command and wait for its completion; all of its events."""
        command = Command(n=n, name=name, args=dict(args), digest=command_digest(name, args))
        self.tell(claim, Start(session=claim.session, incarnation=self.incarnation, command=command))
        done = self.wait_for(
            Event, lambda event: event.session == claim.session and event.n == n and event.kind == "completed"
        )
        self.tell(claim, Stored(session=claim.session, incarnation=self.incarnation, stored=done.seq))
        return [event for event in self.all(Event) if event.session == claim.session and event.n == n]

    def release(self, claim: Claim | Resume) -> None:
        """The session is over: its agent may forget it."""
        self.tell(claim, Release(session=claim.session, incarnation=self.incarnation))

    def restart(self) -> None:
        """A new incarnation calls the roll."""
        self.incarnation = f"{self.name}-{next(self._numbers)}i"
        self.say(RollCall(master=self.name, incarnation=self.incarnation), topology.CONTROL, topology.BROADCAST)

    def tell(self, claim: Claim | Resume, message: Message) -> None:
        """Say this to the worker that claimed or resumed."""
        self.say(message, topology.CONTROL, claim.address)

    def _heard(self, delivery: Delivery) -> None:
        self.channel.ack(delivery.tag)
        self.received.append(self._read(delivery))


def says_nothing(_: Command) -> Iterable[Said]:
    """The script of a worker whose commands succeed silently."""
    return (("update", ["rc", 0], b""),)


class WorkerDouble(_Peer):
    """A worker with one slot: claims, accepts, runs its script, acknowledges at the release."""

    def __init__(
        self, broker: MemoryBroker, name: str, *able: str, script: Script = says_nothing, user: str = "guest"
    ) -> None:
        """`able`: capabilities, `"gtk=3.24"`; `script` says what a command says."""
        super().__init__(broker, name, user)
        self.capabilities = capabilities(*able)
        self.script = script
        #: commands that were run, in order
        self.ran: list[Command] = []
        self.offer: Offer | None = None
        self._delivery: Delivery | None = None
        self._numbers = count(1)
        self._session = ""
        self._incarnation = self._ticket = ""
        self._journal: list[Event] = []
        self._commands: dict[int, str] = {}
        self.address = topology.control_address(user, name, "1")
        self.channel.declare(self.address, QueueOptions(durable=False, exclusive=True))
        for key in (self.address, topology.BROADCAST):
            self.channel.bind(self.address, topology.CONTROL, key)
        self.channel.consume(self.address, f"{name} control", self._heard)

    def qualifies(self, signature: str) -> bool:
        """Has it what this signature asks for?"""
        return Requirements.from_signature(signature).satisfied_by(self.capabilities)

    def serve(self) -> tuple[str, ...]:
        """Consume every `cap.*` queue there is now and that it qualifies for; their names."""
        self.clock.run_until(self.clock.now + 1.0)  # declarations that are under way arrive
        queues = []
        for queue in sorted(self.broker.queues):
            signature = topology.queue_signature(queue)
            if signature is not None and self.qualifies(signature):
                self.channel.consume(queue, f"{self.name} {queue}", self._offered, prefetch=1)
                queues.append(queue)
        return tuple(queues)

    def _offered(self, delivery: Delivery) -> None:
        if self.offer is not None:
            self.channel.nack(delivery.tag, requeue=False)  # parked: simpler than cancelling, and it comes back
            return
        self.offer, self._delivery = self._read(delivery), delivery
        self._session = f"{self.name}-s{next(self._numbers)}"
        self._reply("claims", Claim(**self._who(), capabilities=self.capabilities, worker=self._info()))

    def _heard(self, delivery: Delivery) -> None:
        self.channel.ack(delivery.tag)
        message = self._read(delivery)
        self.received.append(message)
        if isinstance(message, RollCall):
            if self.offer is not None and self.offer.master == message.master and self._incarnation:
                known = tuple(Executing(n=n, digest=d, completed=True) for n, d in self._commands.items())
                self._reply("claims", Resume(**self._who(), worker=self._info(), commands=known))
        elif getattr(message, "session", None) == self._session and self.offer is not None:
            self._of_session(message)

    def _of_session(self, message: Message) -> None:
        if isinstance(message, Grant):
            self._incarnation, self._ticket = message.incarnation, message.ticket
            self._reply("claims", Accept(**self._who(), incarnation=message.incarnation))
        elif isinstance(message, (Refuse, Release)):
            self._end()
        elif isinstance(message, Start) and message.incarnation == self._incarnation:
            self._start(message.command)

    def _start(self, command: Command) -> None:
        known = self._commands.get(command.n)
        if known is not None and known != command.digest:
            assert self.offer is not None
            gone = Gone(
                session=self._session, request=self.offer.request, master=self.offer.master, epoch=1,
                address=self.address, reason="diverged",
            )  # fmt: skip
            self._reply("claims", gone)
            self._end(requeue=True)
            return
        if known is None:
            self._commands[command.n] = command.digest
            self.ran.append(command)
            self._note(command.n, "started", {"name": command.name, "digest": command.digest})
            for kind, value, data in self.script(command):
                self._note(command.n, kind, value, data)
            self._note(command.n, "completed", None)
        for event in self._journal:
            if event.n == command.n:
                self._reply("events", event)

    def _note(self, n: int, kind: str, value: Any, data: bytes = b"") -> None:
        fields = {"session": self._session, "seq": len(self._journal) + 1, "n": n, "kind": kind, "value": value}
        self._journal.append(Event.model_validate({**fields, "data": data}))

    def _end(self, *, requeue: bool = False) -> None:
        delivery, self.offer, self._delivery, self._incarnation, self._ticket = self._delivery, None, None, "", ""
        self._journal, self._commands = [], {}
        if delivery is not None and requeue:
            self.channel.nack(delivery.tag, requeue=True)
        elif delivery is not None:
            self.channel.ack(delivery.tag)

    def _who(self) -> dict[str, Any]:
        assert self.offer is not None
        return {
            "session": self._session, "offer": self.offer.offer, "request": self.offer.request,
            "master": self.offer.master, "run": self.offer.run, "instance": self.name, "agent": self.name, "epoch": 1,
            "address": self.address, "ticket": self._ticket or self.offer.ticket,
        }  # fmt: skip

    def _info(self) -> WorkerInfo:
        return WorkerInfo(version="4.3.0", basedir="/nowhere", worker_commands={"shell": "3.3"})

    def _reply(self, place: Literal["claims", "events"], message: Message) -> None:
        assert self.offer is not None
        make_key = topology.claims_key if place == "claims" else topology.events_key
        self.say(message, topology.REPLIES, make_key(self.user, self.offer.master))
