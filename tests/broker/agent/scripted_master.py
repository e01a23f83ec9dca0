"""A master that does what a test tells it, on a real broker: it offers, grants, starts, reads events, releases.

It is no bridge: it has no grace, no roll call and no Buildbot. What it receives it keeps, so that a test can
wait for it.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractIncomingMessage
from yarl import URL

from contracts import topology
from contracts.codec import decode, encode
from contracts.digest import command_digest
from contracts.messages import (
    Accept,
    Catalogue,
    Claim,
    Command,
    Event,
    Grant,
    Message,
    Offer,
    Refuse,
    Release,
    Resume,
    Start,
    Status,
    Steer,
    Stored,
)
from worker_agent.link.amqp.properties import leave_names_to_the_broker

Got = TypeVar("Got", bound=Message)

leave_names_to_the_broker()  # as real masters do, which use pika


async def until(condition: Callable[[], Any], what: str, timeout: float = 60.0) -> Any:
    """Wait for `condition` to be true and return what it gave; fail with `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited {timeout:g} s for: {what}"
        await asyncio.sleep(0.02)
    return result


def shell(n: int, *argv: str) -> Command:
    args = {"command": list(argv), "workdir": "build", "env": {}, "want_stdout": 1, "want_stderr": 1}
    return Command(n=n, name="shell", args=args, digest=command_digest("shell", args))


async def _told(channel: AbstractChannel, queue: str) -> Any:
    """What the broker answers to a passive declaration: `message_count`, `consumer_count`."""
    return (await channel.declare_queue(queue, passive=True)).declaration_result


class ScriptedMaster:
    """One master named `name`. `consume=False`: silent, its claims pile up in its queue."""

    def __init__(self, url: str, name: str = "m1") -> None:
        self.url = url
        self.login = URL(url).user or "guest"
        self.user = topology.key_word(self.login)
        self.name = name
        self.incarnation = f"inc-{uuid4().hex[:8]}"
        #: everything received, oldest first
        self.received: list[Message] = []
        #: offers whose build is over: further claims of them are refused
        self.done: set[str] = set()
        self.connection: aio_pika.abc.AbstractConnection
        self.channel: AbstractChannel
        self._exchanges: dict[str, AbstractExchange] = {}
        self._numbers = itertools.count(1)

    async def open(self, *signatures: str) -> ScriptedMaster:
        """Connect, declare what a bridge declares, and the queues of `signatures`."""
        self.connection = await aio_pika.connect(self.url)
        self.channel = await self.connection.channel(on_return_raises=True)
        for exchange in topology.EXCHANGES:
            self._exchanges[exchange.name] = await self.channel.declare_exchange(
                exchange.name, exchange.type.value, durable=True
            )
        parked = await self.channel.declare_queue(
            topology.PARKED_QUEUE,
            durable=True,
            arguments={"x-message-ttl": 1000, "x-dead-letter-exchange": topology.OFFERS},
        )
        await parked.bind(topology.PARKED)
        dead = await self.channel.declare_queue(topology.DEAD_QUEUE, durable=True)
        await dead.bind(topology.DEAD)
        for make_name, binding in (
            (topology.claims_queue, topology.claims_binding),
            (topology.events_queue, topology.events_binding),
        ):
            queue = await self.channel.declare_queue(make_name(self.name), durable=True)
            await queue.bind(topology.REPLIES, binding(self.name))
            await queue.consume(self._note, no_ack=True)
        fleet = await self.channel.declare_queue(exclusive=True)
        await fleet.bind(topology.FLEET, topology.STATUS_KEY)
        await fleet.consume(self._note, no_ack=True)
        for signature in signatures:
            await self.declare(signature)
        return self

    async def declare(self, signature: str, queue_type: str = "classic") -> None:
        queue = await self.channel.declare_queue(
            topology.cap_queue(signature),
            durable=True,
            arguments={"x-dead-letter-exchange": topology.PARKED, "x-queue-type": queue_type},
        )
        await queue.bind(topology.OFFERS, topology.cap_queue(signature))

    async def close(self) -> None:
        await self.connection.close()

    async def _note(self, message: AbstractIncomingMessage) -> None:
        received = decode(message.body, message.headers)
        self.received.append(received)
        if isinstance(received, Claim) and received.offer in self.done:
            await self.refuse(received)

    # -- what it says ----------------------------------------------------------------------------------------------

    async def say(self, message: Message, exchange: str, key: str) -> None:
        wire = encode(message)
        await self._exchanges[exchange].publish(
            aio_pika.Message(
                wire.body,
                type=wire.type,
                content_type=wire.content_type,
                headers=dict(wire.headers),
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                user_id=self.login,
            ),
            key,
            mandatory=exchange != topology.FLEET,
        )

    async def offer(self, signature: str = "any", **fields: Any) -> Offer:
        number = next(self._numbers)
        offer = Offer.model_validate(
            {
                "offer": f"o-{uuid4().hex[:8]}",
                "request": f"br-{number}",
                "master": self.name,
                "user": self.user,
                "ticket": f"ticket-{number}",
                "run": number,
                "signature": signature,
                "kind": "build",
                "published": time.time(),
                "builddir": "builder",
                "title": f"builder #{number}",
                **fields,
            }
        )
        await self.say(offer, topology.OFFERS, topology.cap_queue(signature))
        return offer

    async def catalogue(self, *signatures: str) -> None:
        message = Catalogue(master=self.name, incarnation=self.incarnation, signatures=signatures)
        await self.say(message, topology.FLEET, topology.CATALOGUE_KEY)

    async def grant(self, claim: Claim | Resume, stored: int = 0) -> Accept:
        message = Grant(
            session=claim.session, master=self.name, incarnation=self.incarnation, run=claim.run, stored=stored,
            ticket=claim.ticket,
        )  # fmt: skip
        await self.say(message, topology.CONTROL, claim.address)
        return await self.wait_for(
            Accept, lambda accept: accept.session == claim.session and accept.epoch == claim.epoch
        )

    async def start(self, claim: Claim | Resume, command: Command) -> None:
        await self.say(
            Start(session=claim.session, incarnation=self.incarnation, command=command), topology.CONTROL, claim.address
        )

    async def stored(self, claim: Claim | Resume) -> None:
        """Say that all events so far are stored."""
        message = Stored(session=claim.session, incarnation=self.incarnation, stored=len(self.events(claim.session)))
        await self.say(message, topology.CONTROL, claim.address)

    async def refuse(self, claim: Claim) -> None:
        message = Refuse(session=claim.session, master=self.name, re="claim", reason="its build is over")
        await self.say(message, topology.CONTROL, claim.address)

    async def release(self, claim: Claim | Resume) -> None:
        self.done.add(claim.offer)
        await self.say(Release(session=claim.session, incarnation=self.incarnation), topology.CONTROL, claim.address)

    async def steer(self, order: str, address: str, instance: str | None = None) -> None:
        message = Steer.model_validate({"order": order, "instance": instance, "reason": "test"})
        await self.say(message, topology.CONTROL, address)

    # -- what it heard ---------------------------------------------------------------------------------------------

    def all(self, kind: type[Got], where: Callable[[Got], bool] = lambda _: True) -> list[Got]:
        return [message for message in self.received if isinstance(message, kind) and where(message)]

    async def wait_for(
        self, kind: type[Got], where: Callable[[Got], bool] = lambda _: True, timeout: float = 60.0
    ) -> Got:
        """The first message of this kind that meets the condition, received already or yet to come."""
        found: list[Got] = await until(lambda: self.all(kind, where), f"{kind.__name__} at {self.name}", timeout)
        return found[0]

    def events(self, session: str) -> list[Event]:
        """Events of a session by number, each once."""
        found = {event.seq: event for event in self.all(Event) if event.session == session}
        return [found[seq] for seq in sorted(found)]

    async def completed(self, claim: Claim | Resume, n: int, timeout: float = 60.0) -> Event:
        return await self.wait_for(
            Event, lambda event: event.session == claim.session and event.n == n and event.kind == "completed", timeout
        )

    async def status(self, where: Callable[[Status], bool], timeout: float = 60.0) -> Status:
        """The latest status that meets the condition."""
        return await self.wait_for(Status, where, timeout)

    async def build(self, claim: Claim, commands: Sequence[Command]) -> None:
        """All of a granted build, one command after the other, then the release."""
        for command in commands:
            await self.start(claim, command)
            await self.completed(claim, command.n)
            await self.stored(claim)
        await self.release(claim)

    async def wait_for_consumers(self, signature: str, number: int, timeout: float = 60.0) -> None:
        """Until the queue of `signature` has this many consumers."""
        queue = topology.cap_queue(signature)
        await self._wait_for_count(queue, lambda told: told.consumer_count, number, f"consumers of {queue}", timeout)

    async def wait_for_messages(self, queue: str, number: int, timeout: float = 60.0) -> None:
        """Until `queue` has this many messages that nobody holds."""
        await self._wait_for_count(queue, lambda told: told.message_count, number, f"messages in {queue}", timeout)

    async def _wait_for_count(
        self, queue: str, count: Callable[[Any], int | None], number: int, what: str, timeout: float
    ) -> None:
        """On one channel: a broker starts five processes for each."""
        deadline = time.monotonic() + timeout
        async with self.connection.channel() as channel:
            while (now := count(await _told(channel, queue)) or 0) != number:
                assert time.monotonic() < deadline, f"{now} {what}, waited for {number}"
                await asyncio.sleep(0.05)

    async def messages_in(self, queue: str) -> int:
        async with self.connection.channel() as channel:
            return (await _told(channel, queue)).message_count or 0

    async def consumers_of(self, signature: str) -> int:
        async with self.connection.channel() as channel:
            return (await _told(channel, topology.cap_queue(signature))).consumer_count or 0
