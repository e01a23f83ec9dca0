"""Publishes with confirms, in the order given, and says of each message whether the broker has it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from uuid import uuid4

import structlog
from aiormq import exceptions as amqp
from pamqp.commands import Basic

from contracts import topology
from contracts.burial import headers_of
from contracts.codec import Wire, encode
from contracts.errors import TooLarge
from contracts.messages import Message
from contracts.protocol_version import Agreements
from contracts.readable import readable
from worker_agent.core.actions import Publish
from worker_agent.core.inputs import Confirmed, Input, Refused
from worker_agent.link.amqp.outlet import Outlet
from worker_agent.link.errors import LIBRARY_ERRORS
from worker_agent.link.port import Arrived

log = structlog.get_logger(__name__)

#: Most characters that are copied of a stranger's message type; ours are shorter than ten.
TYPE_MAX = 64
#: AMQP's delivery modes.
_TRANSIENT, _PERSISTENT = 1, 2


@dataclass(frozen=True)
class Prepared:
    """A message as it is published. aio-pika's own costs as much to make as it costs to send."""

    body: bytes
    properties: Basic.Properties

    @property
    def id(self) -> str:
        return str(self.properties.message_id)

    @property
    def type(self) -> str:
        return str(self.properties.message_type)


class Publisher:
    """The publishing half of one connection.

    Every message carries the user that logged in: the broker refuses another's name, so it proves the sender
    (https://www.rabbitmq.com/docs/validated-user-id). `broken` is called when the channel failed, `sent_to_dead` for
    each message that goes to `bb.dead`.
    """

    def __init__(
        self,
        outlet: Outlet,
        *,
        user: str,
        agent: str,
        on_input: Callable[[Input], None],
        broken: Callable[[BaseException], None],
        sent_to_dead: Callable[[], None],
        agreements: Agreements,
    ) -> None:
        self._outlet = outlet
        self._user = user
        self._agent = agent
        self._on_input = on_input
        self._broken = broken
        self._sent_to_dead = sent_to_dead
        self._under_way: set[asyncio.Task[bool]] = set()
        #: message id -> when it was sent (event loop's seconds), the oldest first; unanswered ones
        self._sent: dict[str, float] = {}
        self._agreements = agreements
        self._prefix = uuid4().hex[:12]
        self._count = 0

    @property
    def unconfirmed(self) -> int:
        """Publications that the broker has not confirmed."""
        return len(self._under_way)

    @property
    def under_way(self) -> frozenset[asyncio.Task[bool]]:
        """Publications that are not answered; whoever closes the connection ends them."""
        return frozenset(self._under_way)

    @property
    def oldest(self) -> float | None:
        """When the oldest publication that is not answered was sent, in the event loop's seconds."""
        return next(iter(self._sent.values()), None)

    def publish(self, order: Publish, after: asyncio.Future[None] | None = None) -> None:
        """Carry out the machine's `Publish`. With `after`, not before that is done."""
        make_key = topology.claims_key if order.to == "claims" else topology.events_key
        wire = self._encode(order.message, self._agreements.with_peer(order.master))
        if wire is None:
            return
        self._send(
            wire,
            exchange=topology.REPLIES,
            key=make_key(self._user, order.master),
            persistent=order.to == "claims",
            expires=order.expires,
            token=order.token,
            after=after,
        )

    def publish_to_fleet(self, message: Message, key: str) -> None:
        """Transient and not mandatory: for whoever listens now."""
        wire = self._encode(message)
        if wire is not None:
            self._send(wire, exchange=topology.FLEET, key=key, persistent=False, mandatory=False)

    async def send_to_dead(self, message: Arrived, reason: str, queue: str) -> bool:
        """Publish what is not to be believed to `bb.dead`, as it came. True when a queue there has it."""
        content_type = message.content_type or "application/octet-stream"
        wire = Wire(
            type=readable(message.type or "")[:TYPE_MAX],
            content_type=readable(content_type)[:TYPE_MAX],
            body=message.body,
            headers=message.headers,
        )
        return await self._to_dead(wire, reason, queue, priority=message.priority)

    def reject(self, message: Message, reason: str, queue: str) -> None:
        """The same for a message that could be read."""
        wire = self._encode(message)
        if wire is not None:
            self._to_dead(wire, reason, queue)

    def _to_dead(self, wire: Wire, reason: str, queue: str, *, priority: int | None = None) -> asyncio.Task[bool]:
        self._sent_to_dead()
        headers = headers_of(wire.headers, reason=reason, queue=queue, agent=self._agent, priority=priority)
        return self._send(replace(wire, headers=headers), exchange=topology.DEAD, key="")

    async def confirmed(self) -> None:
        """Until every publication so far is answered."""
        if self._under_way:
            await asyncio.wait(set(self._under_way))

    def _send(
        self,
        wire: Wire,
        *,
        exchange: str,
        key: str,
        persistent: bool = True,
        mandatory: bool = True,
        expires: float | None = None,
        token: int | None = None,
        after: asyncio.Future[None] | None = None,
    ) -> asyncio.Task[bool]:
        # A task a message: they take the channel's lock in the order in which they were made, so the order is kept
        # while their confirms are awaited at the same time. How many there are is bounded by the machine's windows.
        properties = Basic.Properties(
            headers=dict(wire.headers),
            content_type=wire.content_type,
            message_type=wire.type,
            delivery_mode=_PERSISTENT if persistent else _TRANSIENT,
            expiration=None if expires is None else str(int(1000 * expires)),
            message_id=self._next_id(),
            timestamp=datetime.now(timezone.utc),
            user_id=self._user,
        )
        message = Prepared(wire.body, properties)
        task = asyncio.get_running_loop().create_task(
            self._publish(exchange, message, key, mandatory=mandatory, token=token, after=after)
        )
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    def _encode(self, message: Message, version: int | None = None) -> Wire | None:
        """None: no reader would take it. Whoever makes messages bounds them; this is for what was forgotten there."""
        try:
            return encode(message, version)
        except TooLarge as error:
            log.error("message_not_sent", reason=str(error), remedy="report it: a part of it should have been bounded")
            return None

    def _next_id(self) -> str:
        self._count += 1
        return f"{self._prefix}-{self._count}"

    async def _publish(
        self,
        exchange: str,
        message: Prepared,
        key: str,
        *,
        mandatory: bool,
        token: int | None,
        after: asyncio.Future[None] | None,
    ) -> bool:
        if after is not None:
            await asyncio.wait([after])
        self._sent[message.id] = asyncio.get_running_loop().time()
        try:
            await self._outlet.publish(exchange, message, key, mandatory=mandatory)
        except amqp.DeliveryError as error:  # returned as unroutable, or rejected because the queue is full
            log.debug("publication_refused", type=message.type, key=key, reason=_refusal(error))
            if token is not None:
                self._on_input(Refused(token=token, returned=isinstance(error, amqp.PublishError)))
            return False
        except Exception as error:  # the library's, or one of a message that it cannot write
            if not isinstance(error, LIBRARY_ERRORS):
                log.error("message_not_published", type=message.type, key=key, exc_info=error)
            self._broken(error)
            return False
        finally:
            self._sent.pop(message.id, None)
        if token is not None:
            self._on_input(Confirmed(token=token))
        return True


def _refusal(error: amqp.DeliveryError) -> str:
    return "no queue takes it" if isinstance(error, amqp.PublishError) else "its queue is full"
