"""One life of the link: both connections open and the control queue consumed, until one of them ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Container, Coroutine, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage
from aiormq import exceptions as amqp

from contracts import topology
from contracts.codec import decode
from contracts.errors import BadMessage, NotBelieved, UnknownVersion
from contracts.foreign import ForeignPeers
from contracts.messages import AnyMessage, Catalogue, Grant, Later
from contracts.operations.broker_failure import plain
from contracts.protocol_version import Agreements, Versions
from contracts.rabbitmq.product import Product
from contracts.trust.envelope import Envelope
from worker_agent.core.inputs import Input, MessageReceived
from worker_agent.link.confirms import ConfirmWatch
from worker_agent.link.declare import (
    Declared,
    bind_control_queue,
    declare_control_queue,
    known_tags,
    product_of,
)
from worker_agent.link.errors import LIBRARY_ERRORS, LinkError, loss_of
from worker_agent.link.offers import SUPERVISE_EVERY, OfferConsumers
from worker_agent.link.one_at_a_time import ByCancelling, BySharedPrefetch
from worker_agent.link.opening import Opened, open_connection, undisturbed
from worker_agent.link.options import LinkOptions
from worker_agent.link.outlet import Outlet
from worker_agent.link.prefetch import SharedPrefetch
from worker_agent.link.publisher import Publisher
from worker_agent.link.transport import Heard

log = structlog.get_logger(__name__)

#: Seconds for cancelled tasks to end, once their connections are closed.
TASKS_END = 5.0
#: Seconds between two looks at whether exchanges and bindings are still there.
RESTORE_EVERY = 20.0
#: Characters shown of the name of a master of another version: what it sends is not checked.
MASTER_SHOWN = 128


@dataclass(frozen=True, kw_only=True)
class Lasting:
    """What a link keeps from one connection to the next."""

    agent: str
    #: numbers of deliveries, which the machine never sees twice
    deliveries: Iterator[int]
    prefetch: SharedPrefetch
    agreements: Agreements = field(default_factory=Agreements)
    foreign: ForeignPeers = field(default_factory=ForeignPeers)
    declared: Declared = field(default_factory=Declared)


@dataclass(frozen=True, kw_only=True)
class LinkListener:
    """Who is told of what a link brings. Each is called in the event loop, and must only note."""

    on_input: Callable[[Input], None]
    #: of a `cap.*` queue that does not exist (any more)
    queue_gone: Callable[[str], None]
    #: of each message that went to `bb.dead`
    sent_to_dead: Callable[[], None]
    #: of each wish for the agent's status
    asked: Callable[[], None]


class Connected:
    """An open link. Made by `open`; over when `lost` is done, whose result is the reason for people.

    It owns all that it starts, tasks and connections: after `close` none of them is left, and no input comes any more.
    """

    consumers: OfferConsumers
    publisher: Publisher
    _lasting: Lasting

    def __init__(self, options: LinkOptions, address: str, listener: LinkListener) -> None:
        self.options = options
        self._listener = listener
        self.address = address
        #: seconds since the epoch, when the consuming connection was opened
        self.opened_at = 0.0
        self.product = Product()
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._closed = False
        self._opened: list[Opened] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def consuming_connection(self) -> AbstractConnection:
        return self._opened[0].connection

    async def open(self, lasting: Lasting) -> None:
        """Connect, declare, consume the control queue. Raises `LinkError`; then nothing is left open."""
        try:
            await self._open(lasting)
        except LIBRARY_ERRORS as error:
            failure = loss_of(error, self.options, self._said)
            await self.close()
            raise LinkError(failure) from error
        except BaseException:
            await self.close()
            raise

    async def _open(self, lasting: Lasting) -> None:
        consuming, publishing = await self._connect("consumes"), await self._connect("publishes")
        self.opened_at = time.time()
        self.product = product_of(consuming)
        await lasting.declared.exchanges(consuming)
        self._lasting = lasting
        outlet = Outlet(publishing, lost=partial(self._channel_closed, "publishing channel", None))
        await outlet.open()
        self.publisher = Publisher(
            outlet,
            user=self.options.user,
            agent=lasting.agent,
            on_input=self._on_input,
            broken=lambda error: self._end(self._explain(error)),
            sent_to_dead=self._listener.sent_to_dead,
            agreements=lasting.agreements,
        )
        self.consumers = OfferConsumers(
            consuming,
            on_input=self._on_input,
            deliveries=lasting.deliveries,
            dead=self.publisher.send_to_dead,
            queue_gone=self._listener.queue_gone,
            trust=self.options.trust,
            foreign=lasting.foreign,
            way=BySharedPrefetch() if lasting.prefetch.usable(self.product.version) else ByCancelling(),
            not_shared=lasting.prefetch.refused,
        )
        control = consuming.channel(publisher_confirms=False)
        await control.initialize()
        control.close_callbacks.add(partial(self._channel_closed, "control channel"))
        queue = await declare_control_queue(control, self.address)
        # Without acknowledgements: the queue dies with this connection, so one would save nothing.
        tag = await queue.consume(self._control, no_ack=True)
        self._spawn(self._watch_control(await known_tags(control), tag))
        self._spawn(self._keep_declared(lasting.declared))
        self._spawn(self._run_consumers())
        self._spawn(self._watch_confirms(publishing))

    async def _connect(self, purpose: str) -> AbstractConnection:
        opened = await open_connection(self.options, purpose)
        self._opened.append(opened)
        opened.connection.close_callbacks.add(self._connection_closed)
        return opened.connection

    async def close(self) -> None:
        """Close what is open and end what runs, cancelled or not. The broker takes back what was not acknowledged."""
        self._end("closed")
        self._closed = True
        await undisturbed(self._close())

    async def _close(self) -> None:
        running: set[asyncio.Task[Any]] = set(self._tasks)
        if hasattr(self, "publisher"):
            running |= self.publisher.under_way
        for task in running:
            task.cancel()
        await asyncio.gather(*(opened.close() for opened in self._opened))
        if running:
            await asyncio.wait(running, timeout=TASKS_END)

    # -- what ends it ----------------------------------------------------------------------------------------------

    def _end(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)

    def _connection_closed(self, _connection: object, error: BaseException | None) -> None:
        if isinstance(error, amqp.ConnectionNotImplemented):  # of all that an agent asks, only this may not be there
            self._lasting.prefetch.refused(str(error))
        self._end(self._explain(error))

    def _channel_closed(self, which: str, _channel: object, error: BaseException | None) -> None:
        self._end(self._explain(error) if self._said else f"{which}: {self._explain(error)}")

    @property
    def _said(self) -> Heard | None:
        """Of the connection that the broker closed with a reason."""
        return next((opened.heard for opened in self._opened if opened.heard.close is not None), None)

    def _explain(self, error: BaseException | None) -> str:
        return str(loss_of(error, self.options, self._said))

    def _on_input(self, what: Input) -> None:
        if not self._closed:
            self._listener.on_input(what)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        """Each of them is to live as long as the link: without one it would receive nothing, so it connects anew."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("link_part_failed", exc_info=error)
            self._end(f"a part of it failed: {plain(error) or type(error).__name__}")

    async def _run_consumers(self) -> None:
        try:
            await self.consumers.run()
        except LIBRARY_ERRORS as error:
            self._end(self._explain(error))

    async def _watch_confirms(self, publishing: AbstractConnection) -> None:
        async def ask() -> None:
            channel = publishing.channel(publisher_confirms=False)
            await channel.initialize()
            await channel.close()

        try:
            await ConfirmWatch(oldest=lambda: self.publisher.oldest, ask=ask, end=self._end).run()
        except LIBRARY_ERRORS as error:
            self._end(self._explain(error))

    async def _watch_control(self, live: Container[str], tag: str) -> None:
        """The control queue is this connection's own; without its consumer no orders come, so connect again."""
        while tag in live:  # noqa: ASYNC110  # the library has no event for it in every version
            await asyncio.sleep(SUPERVISE_EVERY)
        self._end("the broker cancelled the consumer of the control queue")

    async def _keep_declared(self, declared: Declared) -> None:
        """What somebody deletes is there again within a minute; nothing fails while all is there."""
        try:
            while True:
                await asyncio.sleep(RESTORE_EVERY)
                await declared.exchanges(self.consuming_connection)
                await bind_control_queue(self.consuming_connection, self.address)
        except (LinkError, *LIBRARY_ERRORS) as error:
            self._end(str(error) if isinstance(error, LinkError) else self._explain(error))

    # -- what comes in ---------------------------------------------------------------------------------------------

    async def _control(self, message: AbstractIncomingMessage) -> None:
        """Whatever comes, it is answered, put into `bb.dead` or dropped, and nothing else changes.

        None of it waits for the library's connection: what cannot be published has ended the link by itself
        (`Publisher`), so every error here is one about this message, a RuntimeError or an OSError too.
        """
        try:
            await self._read(message)
        except Exception as error:
            log.exception("message_not_handled", queue=self.address)
            await self.publisher.send_to_dead(message, f"cannot be handled: {type(error).__name__}", self.address)

    async def _read(self, message: AbstractIncomingMessage) -> None:
        """Who sent it comes first, then the signature, then the words."""
        envelope = Envelope.of(
            exchange=message.exchange,
            routing_key=message.routing_key,
            user_id=message.user_id,
            headers=message.headers,
        )
        refusal: str | None = None
        user = ""
        try:
            of_fleet = envelope.exchange == topology.FLEET
            user = envelope.to_fleet(topology.CATALOGUE_KEY) if of_fleet else envelope.to_agent(self.address)
        except NotBelieved as error:
            refusal = str(error)
        if refusal is None and envelope.routing_key == topology.TELL:
            self._listener.asked()
            return
        trust, exchange, key = self.options.trust, envelope.exchange, envelope.routing_key
        if refusal is None:
            refusal = trust.refusal(message, exchange, key, fresh=True)
        if refusal is not None:
            if trust.is_news(refusal, key):
                log.error("message_sender_not_verified", exchange=exchange, key=key, user=envelope.user, reason=refusal)
                await self.publisher.send_to_dead(message, refusal, self.address)
            return
        received = await self._decode(message)
        if received is None:
            return
        if isinstance(received, Catalogue) != (exchange == topology.FLEET):
            await self.publisher.send_to_dead(message, f"a {received.t} does not come through {exchange}", self.address)
            return
        if isinstance(received, Grant):
            self._lasting.agreements.learn(received.master, Versions(oldest=received.v, newest=received.v))
        elif isinstance(received, Later) and received.reason:
            self._foreign_master(received.master, received.reason)
        self._on_input(MessageReceived(message=received, user=user))

    async def _decode(self, message: AbstractIncomingMessage) -> AnyMessage | None:
        """None: it could not be read, and is where such messages go."""
        try:
            return decode(message.body, message.headers)
        except UnknownVersion as error:
            master = str(error.fields.get("master", ""))[:MASTER_SHOWN]
            self._lasting.foreign.hear()
            self._foreign_master(master, str(error))
            # broadcasts come every few seconds, and are for whoever can read them: a few of them tell enough
            if message.routing_key == self.address or self._lasting.foreign.keeps(master):
                await self.publisher.send_to_dead(message, str(error), self.address)
        except BadMessage as error:
            log.error("message_unreadable", queue=self.address, reason=str(error))
            await self.publisher.send_to_dead(message, str(error), self.address)
        return None

    def _foreign_master(self, master: str, reason: str) -> None:
        """One line a master, not one a message."""
        if self._lasting.foreign.is_news(master):
            log.warning("incompatible_master", master=master, reason=reason, remedy="upgrade the older of the two")
