"""One life of the link: both connections open and the control queue consumed, until one of them ends."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Container, Coroutine, Iterator
from functools import partial
from typing import Any

import structlog
from aio_pika import connect
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage
from aiormq import exceptions as amqp

from contracts.codec import decode
from contracts.errors import BadMessage, UnknownVersion
from contracts.foreign import ForeignPeers
from contracts.messages import Grant, Later, Steer
from contracts.protocol_version import Agreements, Versions
from contracts.rabbitmq.product import Product
from worker_agent.core.inputs import Input, MessageReceived
from worker_agent.link.confirms import ConfirmWatch
from worker_agent.link.declare import (
    Declared,
    bind_control_queue,
    declare_control_queue,
    known_tags,
    product_of,
)
from worker_agent.link.errors import LIBRARY_ERRORS, LinkError, explain
from worker_agent.link.offers import SUPERVISE_EVERY, OfferConsumers
from worker_agent.link.options import LinkOptions
from worker_agent.link.outlet import Outlet
from worker_agent.link.prefetch import SharedPrefetch
from worker_agent.link.publisher import Publisher

log = structlog.get_logger(__name__)

#: Seconds for the goodbye to the broker when a connection is closed on purpose.
CLOSE_TIMEOUT = 5.0
#: Seconds between two looks at whether exchanges and bindings are still there.
RESTORE_EVERY = 20.0
#: Characters shown of the name of a master of another version: what it sends is not checked.
MASTER_SHOWN = 128


class Connected:
    """An open link. Made by `open`; over when `lost` is done, whose result is the reason for people."""

    consumers: OfferConsumers
    publisher: Publisher
    _agreements: Agreements
    _foreign: ForeignPeers
    _prefetch: SharedPrefetch

    def __init__(
        self, options: LinkOptions, address: str, on_input: Callable[[Input], None], buried: Callable[[], None]
    ) -> None:
        self.options = options
        self._buried = buried
        self.address = address
        #: seconds since the epoch, when the consuming connection was opened
        self.opened_at = 0.0
        self.product = Product()
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._on_input = on_input
        self._connections: list[AbstractConnection] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def consuming_connection(self) -> AbstractConnection:
        return self._connections[0]

    async def open(
        self,
        *,
        agent: str,
        deliveries: Iterator[int],
        queue_gone: Callable[[str], None],
        agreements: Agreements,
        foreign: ForeignPeers,
        prefetch: SharedPrefetch,
        declared: Declared,
    ) -> None:
        """Connect, declare, consume the control queue. Raises `LinkError`; then nothing is left open."""
        try:
            consuming, publishing = await self._connect("consumes"), await self._connect("publishes")
            self.opened_at = time.time()
            self.product = product_of(consuming)
            await declared.exchanges(consuming)
            self._agreements, self._foreign, self._prefetch = agreements, foreign, prefetch
            outlet = Outlet(publishing, lost=partial(self._channel_closed, "publishing channel", None))
            await outlet.open()
            self.publisher = Publisher(
                outlet,
                user=self.options.user,
                agent=agent,
                on_input=self._on_input,
                broken=lambda error: self._end(str(error) or type(error).__name__),
                buried=self._buried,
                agreements=agreements,
            )
            self.consumers = OfferConsumers(
                consuming,
                on_input=self._on_input,
                deliveries=deliveries,
                dead=self.publisher.bury,
                queue_gone=queue_gone,
                trust=self.options.trust,
                foreign=foreign,
                shared=prefetch.usable(self.product.version),
                not_shared=prefetch.refused,
            )
            control = consuming.channel(publisher_confirms=False)
            await control.initialize()
            control.close_callbacks.add(partial(self._channel_closed, "control channel"))
            queue = await declare_control_queue(control, self.address)
            # Without acknowledgements: the queue dies with this connection, so one would save nothing.
            tag = await queue.consume(self._control, no_ack=True)
            live = await known_tags(control)
        except LinkError:
            await self.close()
            raise
        except LIBRARY_ERRORS as error:
            await self.close()
            raise LinkError(explain(error, user=self.options.user, where=self.options.where)) from error
        except BaseException:
            await self.close()
            raise
        self._spawn(self._watch_control(live, tag))
        self._spawn(self._keep_declared(declared))
        self._spawn(self._run_consumers())
        self._spawn(self._watch_confirms(publishing))

    async def _connect(self, purpose: str) -> AbstractConnection:
        connection = await connect(
            self.options.connection_url(),
            timeout=self.options.connect_timeout,
            ssl_context=self.options.tls_context(),
            client_properties={"connection_name": f"{self.options.name} {purpose}"},
        )
        self._connections.append(connection)
        connection.close_callbacks.add(self._connection_closed)
        return connection

    async def close(self) -> None:
        """Close what is open. The broker takes back what was not acknowledged."""
        self._end("closed")
        for task in self._tasks:
            task.cancel()
        for connection in self._connections:
            if not connection.is_closed:
                with contextlib.suppress(*LIBRARY_ERRORS):
                    await asyncio.wait_for(connection.close(), CLOSE_TIMEOUT)

    # -- what ends it ----------------------------------------------------------------------------------------------

    def _end(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)

    def _connection_closed(self, _connection: object, error: BaseException | None) -> None:
        if isinstance(error, amqp.ConnectionNotImplemented):  # of all that an agent asks, only this may not be there
            self._prefetch.refused(str(error))
        self._end(_reason(error, "connection closed"))

    def _channel_closed(self, which: str, _channel: object, error: BaseException | None) -> None:
        self._end(f"{which}: {_reason(error, 'closed')}")

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        """Each of them is to live as long as the link: without one it would be deaf, so it begins anew."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("link_part_failed", exc_info=error)
            self._end(f"a part of it failed: {_reason(error, '')}")

    async def _run_consumers(self) -> None:
        try:
            await self.consumers.run()
        except LIBRARY_ERRORS as error:
            self._end(_reason(error, "connection closed"))

    async def _watch_confirms(self, publishing: AbstractConnection) -> None:
        async def ask() -> None:
            channel = publishing.channel(publisher_confirms=False)
            await channel.initialize()
            await channel.close()

        try:
            await ConfirmWatch(oldest=lambda: self.publisher.oldest, ask=ask, end=self._end).run()
        except LIBRARY_ERRORS as error:
            self._end(_reason(error, "connection closed"))

    async def _watch_control(self, live: Container[str], tag: str) -> None:
        """The control queue is this connection's own; without its consumer the agent is deaf, so begin again."""
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
            self._end(_reason(error, "connection closed"))

    # -- what comes in ---------------------------------------------------------------------------------------------

    async def _control(self, message: AbstractIncomingMessage) -> None:
        try:
            received = decode(message.body, message.headers)
        except UnknownVersion as error:
            master = str(error.fields.get("master", ""))[:MASTER_SHOWN]
            self._foreign.hear()
            self._foreign_master(master, str(error))
            # broadcasts come every few seconds, and are for whoever can read them: a few of them tell enough
            if message.routing_key == self.address or self._foreign.keeps(master):
                await self.publisher.bury(message, str(error), self.address)
            return
        except BadMessage as error:
            log.error("not_a_message", queue=self.address, reason=str(error))
            await self.publisher.bury(message, str(error), self.address)
            return
        if not (isinstance(received, Steer) and received.order == "tell"):  # tells nothing that is not told anyway
            trust, key = self.options.trust, message.routing_key or ""
            refusal = trust.refusal(message, message.exchange or "", key, fresh=True)
            if refusal is not None:
                if trust.is_news(received.t, key):
                    log.error("not_trusted", type=received.t, key=key, reason=refusal)
                    await self.publisher.bury(message, refusal, self.address)
                return
        if isinstance(received, Grant):
            self._agreements.learn(received.master, Versions(oldest=received.v, newest=received.v))
        elif isinstance(received, Later) and received.reason:
            self._foreign_master(received.master, received.reason)
        self._on_input(MessageReceived(message=received))

    def _foreign_master(self, master: str, reason: str) -> None:
        """One line a master, not one a message."""
        if self._foreign.is_news(master):
            log.warning("incompatible_master", master=master, reason=reason, remedy="upgrade the older of the two")


def _reason(error: BaseException | None, otherwise: str) -> str:
    return (str(error) or type(error).__name__) if error is not None else otherwise
