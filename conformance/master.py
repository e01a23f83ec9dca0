"""The kit's master: offers, grants, starts, pings and remembers all that comes. It has no grace and no Buildbot.

Blocking, in one thread: a scene is a script, and `wait` lets messages in until its condition holds.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import uuid4

from conformance.broker import Broker
from conformance.errors import Violated
from conformance.office.office import KitOffice
from conformance.session import Session
from conformance.watch import Watch
from contracts import topology
from contracts.codec import Wire, decode, encode
from contracts.digest import command_digest
from contracts.errors import BadMessage, BadSeal
from contracts.messages import (
    Accept,
    Alive,
    Catalogue,
    Claim,
    Command,
    Event,
    Gone,
    Grant,
    Interrupt,
    Message,
    Offer,
    Ping,
    Refuse,
    Release,
    Replay,
    Resume,
    Seal,
    Sealed,
    Start,
    Status,
    Stored,
)
from contracts.timing import ALIVE_INTERVAL, CATALOGUE_INTERVAL, PING_INTERVAL, STATUS_INTERVAL
from contracts.trust.sealing import OF_MASTER, Parties, SealedSession, seal_to

Got = TypeVar("Got", bound=Message)
#: What an agent that traces nothing leaves aside (rule 25).
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#: Seconds of one look for messages.
_TURN = 0.02


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """What the agent parked or sent to `bb.dead`: the message as it was, and its headers."""

    body: bytes
    headers: Mapping[str, Any]


class Master:
    """`connect`: makes the broker of a master of this name. `patience`: seconds to wait for what is to come at once."""

    def __init__(
        self, connect: Callable[[str], Broker | KitOffice], *, signature: str, patience: float, watch: Watch
    ) -> None:
        self.signature = signature
        #: seconds to wait for anything that is to come at once
        self.patience = patience
        self.watch = watch
        self.name = f"conformance-{uuid4().hex[:8]}"
        self.incarnation = ""
        self.received: list[Message] = []
        #: session id -> AMQP properties of its last claim
        self.claim_properties: dict[str, Any] = {}
        self.parked: list[Rejected] = []
        self.dead: list[Rejected] = []
        self.sessions: dict[str, Session] = {}
        #: session id -> the ticket of its last grant
        self.tickets: dict[str, str] = {}
        #: session id -> the seal of its last grant (rule 24)
        self.seals: dict[str, SealedSession] = {}
        #: offers that are over: further claims of them are refused
        self.over: set[str] = set()
        #: send nothing unasked: no pings, no `alive`
        self.silent = False
        #: seconds between two statuses that it says to be often enough (rule 27)
        self.status_every = int(STATUS_INTERVAL)
        self._runs = 0
        self._next: dict[str, float] = {}
        self.broker = connect(self.name)
        self.broker.declare(reply=self._reply, parked=self._parked, dead=self._dead, status=self._status)
        self.restart()

    def restart(self) -> None:
        """A new incarnation, which knows no session."""
        self.incarnation = f"inc-{uuid4().hex[:12]}"

    # ---- waiting

    def pump(self, seconds: float = _TURN) -> None:
        """Let messages in for a while, and say what is due: pings, `alive`, `stored`."""
        end = time.monotonic() + seconds
        while True:
            self.broker.process(min(_TURN, seconds))
            self._say_what_is_due()
            if time.monotonic() >= end:
                return

    def wait(self, condition: Callable[[], Any], what: str, timeout: float | None = None) -> Any:
        """What `condition` gives once that is true; raises `Violated` when it does not come in time."""
        timeout = self.patience if timeout is None else timeout
        end = time.monotonic() + timeout
        while not (result := condition()):
            if time.monotonic() > end:
                last = self.received[-1] if self.received else None
                raise Violated(f"waited {timeout:g} s for {what}; the last message that came is shown", last)
            self.pump()
        return result

    def wait_for(
        self, kind: type[Got], where: Callable[[Got], bool] = lambda _: True, *, timeout: float | None = None
    ) -> Got:
        """The last message of this kind that fits, once there is one. Raises `Violated`, as `wait`."""
        found: list[Got] = self.wait(lambda: self.all(kind, where), f"'{kind.__name__.lower()}'", timeout)
        return found[-1]

    def all(self, kind: type[Got], where: Callable[[Got], bool] = lambda _: True) -> list[Got]:
        """All messages of this kind that came so far and fit, in order."""
        return [message for message in self.received if isinstance(message, kind) and where(message)]

    # ---- saying

    def say(self, message: Message, exchange: str, key: str, *, extra: Mapping[str, Any] | None = None) -> bool:
        """Publish; False when no queue took it. `extra`: fields that no model of ours has."""
        wire = encode(message)
        if extra is not None:
            text = {**message.model_dump(mode="json"), **extra}
            wire = Wire(type=wire.type, content_type=wire.content_type, body=_json(text))
        return self.broker.publish(wire, exchange, key)

    def tell(self, session: Session, message: Message) -> bool:
        """To the session's agent, sealed where the session is; False where nobody is at its address."""
        if session.seal is not None and isinstance(message, OF_MASTER):
            message = session.seal.seal(message)
        return self.say(message, topology.CONTROL, session.address)

    def offer(self, *, again: Offer | None = None, extra: Mapping[str, Any] | None = None, **fields: Any) -> Offer:
        """Publish a new offer; `again`: the very same work under a new offer id (rule 16)."""
        offer = self.new_offer(again=again, **fields)
        if not self.say(offer, topology.OFFERS, self.broker.queue, extra=extra):
            raise Violated(f"the queue {self.broker.queue} is gone: somebody deleted it")
        return offer

    def tell_offer(self, offer: Offer, address: str) -> None:
        """As an operator's program: to this agent and no other (rule 26)."""
        self.say(offer, topology.CONTROL, address)

    def ask_status(self) -> None:
        """Of all agents; what they said before is forgotten."""
        self.received = [message for message in self.received if not isinstance(message, Status)]
        self.broker.publish(Wire(type="", content_type="", body=b""), topology.CONTROL, topology.TELL)

    def new_offer(self, *, again: Offer | None = None, **fields: Any) -> Offer:
        """What `offer` publishes, and nobody knows of yet."""
        self._runs += 1
        if again is not None:
            fields = {**again.model_dump(), "ask": True, **fields}
        fields = {
            "request": f"br-{self.name[-4:]}{self._runs}",
            "run": self._runs,
            "builddir": f"conformance-{self._runs}",
            "kind": "build",
            **fields,
            "offer": fields.get("offer", f"o-{uuid4().hex[:12]}") if again is None else f"o-{uuid4().hex[:12]}",
            "master": self.name,
            "user": fields.get("user", self.broker.user) if again is None else self.broker.user,
            "ticket": f"offer:{uuid4().hex}",
            "signature": self.signature,
            "published": fields.get("published", time.time()),
            "title": f"conformance #{self._runs}",
            "traceparent": TRACEPARENT,
        }
        return Offer.model_validate(fields)

    def claimed(self, offer: Offer, *, timeout: float | None = None) -> Claim:
        """The last claim of this offer that was not answered yet."""
        return self.wait_for(Claim, lambda claim: claim.offer == offer.offer, timeout=timeout)

    def grant(self, offer: Offer, claim: Claim | Resume, *, stored: int = 0) -> Session:
        """Grant a claim or a resume, and wait for the accept."""
        session = self.sessions.get(claim.session)
        if session is None:
            session = Session(offer=offer, claim=claim, incarnation=self.incarnation)
            self.sessions[session.id] = session
        session.claim, session.incarnation, session.stored = claim, self.incarnation, stored
        session.fresh.clear()
        grant = self.grant_of(claim, stored=stored)
        session.seal = self.seals.get(claim.session)
        before = len(self.all(Accept))
        self.tell(session, grant)
        self.wait(
            lambda: [
                accept
                for accept in self.all(Accept)[before:]
                if (accept.session, accept.incarnation) == (session.id, self.incarnation)
            ],
            f"'accept' of session {session.id}",
        )
        return session

    def grant_of(self, claim: Claim | Resume, *, stored: int = 0) -> Grant:
        """With a ticket that was not used before; the agent shows it from then on (rule 21)."""
        ticket = self.tickets[claim.session] = f"grant:{uuid4().hex}"
        seal = None
        if claim.key is not None:
            made = self.seals[claim.session] = seal_to(claim.key, self._parties(claim), os.urandom)
            seal = Seal(key=made.key, signature=self.signature)
        return Grant(
            session=claim.session, master=self.name, incarnation=self.incarnation, run=claim.run, stored=stored,
            ticket=ticket, seal=seal,
        )  # fmt: skip

    def _parties(self, claim: Claim | Resume) -> Parties:
        return Parties(
            master=self.name, incarnation=self.incarnation, request=claim.request, signature=self.signature,
            run=claim.run, session=claim.session, address=claim.address,
        )  # fmt: skip

    def command(self, n: int, name: str, args: Mapping[str, Any], content: str = "") -> Command:
        """Command `n`, as Buildbot would ask for it. `content`: of a file that goes with it, for the digest."""
        return Command(n=n, name=name, args=dict(args), digest=command_digest(name, args, content))

    def start(self, session: Session, command: Command) -> None:
        """Have `command` started; what the agent answers is not waited for."""
        session.started[command.n] = command
        self.tell(
            session,
            Start(session=session.id, incarnation=self.incarnation, command=command, traceparent=TRACEPARENT),
        )

    def completed(self, session: Session, n: int, *, timeout: float | None = None) -> Event:
        """The completion of command `n`, once it is there. Raises `Violated`, as `wait`."""
        event: Event = self.wait(lambda: session.completed(n), f"'completed' of command {n}", timeout)
        return event

    def interrupt(self, session: Session, n: int, reason: str) -> None:
        """Have command `n` ended; `reason` has to come back with its completion."""
        self.tell(session, Interrupt(session=session.id, incarnation=self.incarnation, n=n, reason=reason))

    def replay(self, session: Session, stored: int) -> None:
        """Ask for all events after number `stored` again."""
        session.stored = stored
        self.tell(session, Replay(session=session.id, incarnation=self.incarnation, stored=stored))

    def store(self, session: Session) -> None:
        """Tell that all events that came, up to a gap, are stored."""
        session.stored = session.contiguous
        self.tell(session, Stored(session=session.id, incarnation=self.incarnation, stored=session.stored))

    def ping(self, session: Session) -> bool:
        """Is the session's agent there? False where nobody is at its address."""
        return self.tell(session, Ping(session=session.id, incarnation=self.incarnation, stored=session.stored))

    def refuse(self, claim: Claim | Resume, re: str, reason: str = "conformance kit") -> None:
        """`re`: what is answered, "claim" or "resume"."""
        message = Refuse.model_validate({"session": claim.session, "master": self.name, "re": re, "reason": reason})
        self.say(message, topology.CONTROL, claim.address)

    def release(self, session: Session) -> None:
        """The session is over; its offer's further claims are refused."""
        self.over.add(session.offer.offer)
        session.silent = True
        self.tell(session, Release(session=session.id, incarnation=self.incarnation))

    def alive(self) -> None:
        """To all agents: this master is there."""
        self.say(self.alive_message(), topology.CONTROL, topology.BROADCAST)

    def alive_message(self) -> Alive:
        """What `alive` says, for those who tell it one agent alone."""
        return Alive(master=self.name, incarnation=self.incarnation, status_every=self.status_every)

    def _say_what_is_due(self) -> None:
        if self._due("catalogue", CATALOGUE_INTERVAL):
            catalogue = Catalogue(master=self.name, incarnation=self.incarnation, signatures=(self.signature,))
            self.say(catalogue, topology.FLEET, topology.CATALOGUE_KEY)
        if self.silent:
            return
        if self._due("alive", ALIVE_INTERVAL):
            self.alive()
        for session in self.sessions.values():
            if session.silent or session.incarnation != self.incarnation:
                continue
            if session.auto_stored and session.contiguous > session.stored:
                self.store(session)
            if self._due(f"ping {session.id}", PING_INTERVAL):
                self.ping(session)

    def _due(self, what: str, interval: float) -> bool:
        now = time.monotonic()
        if now < self._next.get(what, 0.0):
            return False
        self._next[what] = now + interval
        return True

    def forget(self) -> None:
        """Between two scenes: nothing of the last one is left."""
        self.broker.purge()
        self.over |= {session.offer.offer for session in self.sessions.values()}
        self.over |= {claim.offer for claim in self.all(Claim)}
        self.sessions.clear()
        self.seals.clear()
        self.received.clear()
        self.parked.clear()
        self.dead.clear()
        self.silent = False
        self.status_every = int(STATUS_INTERVAL)
        self.restart()

    # ---- hearing

    def _reply(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        try:
            message = decode(body, properties.headers)
        except BadMessage as error:
            self.watch.unreadable(error, method.routing_key)
            return
        self.watch.reply(message, method.routing_key, properties)
        sealed = isinstance(message, Sealed)
        if isinstance(message, Sealed):
            try:
                message = self.seals[message.session].open(message)
            except (KeyError, BadSeal):
                return  # of an earlier grant
        self.received.append(message)
        if isinstance(message, Event):
            session = self.sessions.get(message.session)
            if session is not None:
                self.watch.event(session, message)
                session.events.setdefault(message.seq, message)
                if sealed:
                    session.sealed.add(message.seq)
                session.copies.append(message)
                session.fresh.add(message.seq)
        elif isinstance(message, Claim):
            self.claim_properties[message.session] = properties
            if message.offer in self.over:
                self.refuse(message, "claim", "its work is done")
        elif isinstance(message, Gone):
            gone = self.sessions.get(message.session)
            if gone is not None:
                gone.silent = True

    def _parked(self, _channel: Any, _method: Any, properties: Any, body: bytes) -> None:
        self.parked.append(Rejected(body=body, headers=properties.headers or {}))

    def _dead(self, _channel: Any, _method: Any, properties: Any, body: bytes) -> None:
        self.dead.append(Rejected(body=body, headers=properties.headers or {}))

    def _status(self, _channel: Any, _method: Any, properties: Any, body: bytes) -> None:
        try:
            message = decode(body, properties.headers)
        except BadMessage as error:
            self.watch.unreadable(error, topology.STATUS_KEY)
            return
        if isinstance(message, Status):
            self.received.append(message)


def _json(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields).encode()
