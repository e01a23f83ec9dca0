"""The offer consumers of one connection: one offer at a time, cancelled before anything is given back, supervised.

All that touches offers goes through one queue of orders, carried out strictly in order, so that "cancel, then give
back" is that on the wire, too (rule 20). As long as an offer is held, new consumers get a channel of their own: one
that the broker refuses closes its channel.

Consumers outlive a claim: to cancel and start one costs the broker the more, the more consumers its queue has. So an
order to cancel them while an offer is held leaves them as they are. Where they share their prefetch, the broker hands
nothing more out. Elsewhere each may bring one more offer, which is turned away: its consumer is cancelled, and it is
given back at once, past all orders. That happens once a queue and a session at most, so no offer goes round in circles.
Consumers that are not wanted when the offer is settled are cancelled before that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from functools import partial
from typing import Any

import structlog
from aio_pika.abc import AbstractConnection
from aiormq import exceptions as amqp

from worker_agent.core.inputs import DeliveryLost, Input
from worker_agent.link.amqp.channels import when_closed
from worker_agent.link.amqp.declare import queue_exists
from worker_agent.link.amqp.delivery import Delivery
from worker_agent.link.amqp.offer_channel import OfferChannel
from worker_agent.link.amqp.turns import Turns
from worker_agent.link.errors import LIBRARY_ERRORS
from worker_agent.link.offered import OfferReader, ParkIt, PutToDead
from worker_agent.link.port import Settle

log = structlog.get_logger(__name__)

#: Seconds between two looks at whether every consumer that is wanted is still there. The AMQP library tells of a
#: cancel by the broker in newer versions only, and then only if nobody missed it: so look.
SUPERVISE_EVERY = 1.0

Order = Callable[[], Awaitable[None]]


class OfferConsumers:
    """Consumes `cap.*` queues as told and turns what comes into inputs.

    `dead` is called with what is no offer, the reason and the queue, and must publish it to `bb.dead`; `queue_gone` is
    told of a queue that turned out not to exist (any more). `shared`: the consumers of a channel share their prefetch,
    where the broker does what it is asked.
    """

    def __init__(
        self,
        connection: AbstractConnection,
        *,
        on_input: Callable[[Input], None],
        deliveries: Iterator[int],
        dead: Callable[[Delivery, str, str], Coroutine[Any, Any, bool]],
        queue_gone: Callable[[str], None],
        reader: OfferReader,
        shared: bool,
    ) -> None:
        self._shared = shared
        self._turns = Turns()
        self._reader = reader
        self._connection = connection
        self._on_input = on_input
        self._deliveries = deliveries
        self._dead = dead
        self._queue_gone = queue_gone
        self._wanted: tuple[str, ...] = ()
        #: what will be wanted when all orders are carried out
        self._asked: tuple[str, ...] = ()
        #: offers that came so far
        self._came = 0
        self._unusable: set[str] = set()
        self._channels: list[OfferChannel] = []
        self._orders: asyncio.Queue[Order] = asyncio.Queue()
        self._closing = False
        #: called each time when consumers are looked after: whoever looks as often has no clock of its own
        self.also_look: Callable[[], None] = lambda: None

    # -- orders, carried out in the order in which they were given -----------------------------------------------

    def consume(self, queues: tuple[str, ...]) -> None:
        """From these queues, and no others; done later, in the order of calls."""
        self._asked = queues
        self._orders.put_nowait(partial(self._consume, queues))

    def cancel(self) -> None:
        """From none."""
        self.consume(())

    def settle(self, delivery: int, how: Settle) -> None:
        """Done later, in the order of calls; a delivery of a channel that is gone is void."""
        self._orders.put_nowait(partial(self._settle, delivery, how))

    def send_to_dead(self, delivery: int, reason: str) -> None:
        """Publish the delivery as it came to `bb.dead`, then acknowledge it."""
        message = next((lease.held[delivery] for lease in self._channels if delivery in lease.held), None)
        if message is not None:
            self._orders.put_nowait(partial(self._send_to_dead, delivery, message, reason, message.routing_key or ""))

    def hold_until(self, gate: asyncio.Future[None]) -> None:
        """Orders given after this wait until `gate` is done (a session whose processes are being ended)."""
        self._orders.put_nowait(partial(_wait, gate))

    async def carried_out(self) -> None:
        """Until all orders given so far are carried out."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def mark() -> None:
            if not done.done():
                done.set_result(None)

        self._orders.put_nowait(mark)
        await done

    @property
    def consuming(self) -> frozenset[str]:
        """Queues that are consumed now."""
        return frozenset[str]().union(*(lease.consumed() for lease in self._channels))

    # -- the loop --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Carry orders out and look after the consumers until cancelled. Raises what breaks the connection."""
        supervision = asyncio.get_running_loop().create_task(self._supervise_regularly())
        try:
            while True:
                order = await self._orders.get()
                await order()
        finally:
            self._closing = True
            supervision.cancel()

    async def _supervise_regularly(self) -> None:
        while True:
            await asyncio.sleep(SUPERVISE_EVERY)
            self.also_look()
            if self._orders.empty() and not self._as_wanted:
                self._orders.put_nowait(self._reconcile)

    @property
    def _as_wanted(self) -> bool:
        """Nothing is held, and all that is wanted is consumed, by consumers that live."""
        return self.consuming == {*self._wanted} and all(lease.idle for lease in self._channels)

    async def _consume(self, queues: tuple[str, ...]) -> None:
        self._wanted = queues
        self._unusable.clear()
        for lease in list(self._channels):
            if queues:
                await lease.cancel_filled()  # the agent has room for another one: their queues are consumed afresh
            else:
                lease.set_filled_apart()
        await self._reconcile()

    async def _settle(self, delivery: int, how: Settle) -> None:
        for lease in self._channels:
            message = lease.held.pop(delivery, None)
            if message is None:
                continue
            await self._make_ready(lease, message.consumer, how)
            try:
                await message.settle(how)
            except LIBRARY_ERRORS as error:
                # Its channel went away under it: the broker has it back already, and the machine was or will be told.
                log.debug("settled_too_late", delivery=delivery, how=how, error=str(error))
            await self._drop_if_spent(lease)
            self._turns.ready()
            if lease.shared and self._asked:
                self._orders.put_nowait(self._reconcile)
            return

    async def _make_ready(self, lease: OfferChannel, tag: str, how: Settle) -> None:
        """What the consumer `tag` brought is settled next: cancel those that are to bring nothing then."""
        if self._asked or not any(each.held for each in self._channels):
            for each in list(self._channels):
                await each.cancel_all_but(self._asked)
        own = lease.filled.get(tag)
        if own is not None and lease.shared and self._turns.backlog and self._asked != (own,):
            # The broker would hand out the head of any queue: the order to consume that follows says whose turn it is.
            await lease.cancel_filled()
            await lease.cancel_all_but(())
        elif how == "give_back":
            await lease.cancel(tag)  # it would come through it again at once (rule 20)
        elif own is not None:
            if {*self._asked} - self.consuming - self._unusable == {own}:
                lease.put_back(tag)
            else:  # it is not wanted, or another queue's turn: one whose offer was turned away
                await lease.cancel(tag)

    async def _drop_if_spent(self, lease: OfferChannel) -> None:
        """Close a channel that neither holds nor consumes anything, unless it is the only one left to reuse."""
        if lease.spent and len(self._channels) > 1:
            await self._close(lease)

    async def _close(self, lease: OfferChannel) -> None:
        self._channels.remove(lease)
        await lease.close()

    # -- consumers -------------------------------------------------------------------------------------------------

    async def _reconcile(self) -> None:
        """Make the consumers what is wanted: the only place that starts any."""
        await self._forget_cancelled()
        stay = not self._wanted and any(lease.held for lease in self._channels)
        for lease in list(self._channels):
            if not stay:
                await lease.cancel_all_but(self._wanted)
            if lease in self._channels:
                await self._drop_if_spent(lease)
        if any(lease.quiet for lease in self._channels):
            return  # nothing comes before what is held is settled: then look again
        came, there = self._came, self.consuming | self._unusable
        for name in [name for name in self._wanted if name not in there]:
            if self._came != came:
                # What the machine makes of an offer comes first, most often a cancel: else the heads of the other
                # queues would be handed out and given back for each session.
                self._orders.put_nowait(self._reconcile)
                return
            await self._start(name)

    async def _forget_cancelled(self) -> None:
        """Find the consumers that the broker cancelled: their queue was deleted, or moved, or they timed out."""
        for lease in list(self._channels):
            live = lease.live
            for tag in [tag for tag in (*lease.consumers, *lease.filled) if tag not in live]:
                queue = lease.consumers.pop(tag, None) or lease.filled.pop(tag)
                log.warning("consumer_cancelled_by_broker", queue=queue)
                lost = [delivery for delivery, message in lease.held.items() if message.consumer == tag]
                for delivery in lost:
                    del lease.held[delivery]
                    self._on_input(DeliveryLost(delivery=delivery))
                if lost and lease.shared and lease in self._channels:
                    await self._close(lease)  # whether the broker still counts it depends on why it was lost
                if queue in self._wanted and not await queue_exists(self._connection, queue):
                    self._gone(queue)

    async def _start(self, name: str) -> None:
        lease = await self._channel_for_consuming()
        self._turns.ready()
        try:
            await lease.start(f"offers-{next(self._deliveries)}", name, partial(self._delivered, lease, name))
        except amqp.ChannelNotFoundEntity:
            self._gone(name)
        except amqp.ChannelAccessRefused as error:
            log.error("queue_forbidden", queue=name, reason=str(error), remedy="grant this account `read` on it")
            self._unusable.add(name)
        except amqp.ChannelClosed as error:
            log.warning("consume_failed", queue=name, reason=str(error))

    def _gone(self, name: str) -> None:
        log.info("queue_gone", queue=name)
        self._unusable.add(name)
        self._queue_gone(name)

    async def _channel_for_consuming(self) -> OfferChannel:
        """The last channel while nothing of it is held, else a new one."""
        if self._channels and not self._channels[-1].held and not self._channels[-1].channel.is_closed:
            return self._channels[-1]
        lease = await OfferChannel.open(self._connection, shared=self._shared)
        when_closed(lease.channel, partial(self._channel_closed, lease))
        self._channels.append(lease)
        return lease

    def _channel_closed(self, lease: OfferChannel, error: BaseException | None) -> None:
        """The broker closed a channel (a consumer timeout, say): its deliveries go to other agents."""
        if lease.closed:
            return
        lease.closed = True
        self._channels = [other for other in self._channels if other is not lease]
        if self._closing or self._connection.is_closed or not isinstance(error, amqp.ChannelClosed):
            return  # the connection ends, and with it everything: LinkDown says so
        log.warning(
            "offer_channel_closed",
            reason=str(error),
            deliveries_lost=len(lease.held),
            remedy="raise the broker's consumer_timeout" if "timed out" in str(error) else None,
        )
        for delivery in lease.held:
            self._on_input(DeliveryLost(delivery=delivery))
        lease.held.clear()
        self._orders.put_nowait(self._reconcile)

    # -- deliveries ------------------------------------------------------------------------------------------------

    async def _delivered(self, lease: OfferChannel, queue: str, message: Delivery) -> None:
        if lease.closed:
            return  # the broker has it back
        if queue not in self._asked:
            await lease.turn_away(message)
            return
        delivery = next(self._deliveries)
        self._came += 1
        lease.held[delivery] = message
        try:
            self._read(delivery, queue, message)
        except Exception as error:  # whatever it is, it is settled, and the next one is served
            log.exception("offer_not_handled", queue=queue)
            self._put_to_dead(delivery, message, f"cannot be handled: {type(error).__name__}", queue)

    def _put_to_dead(self, delivery: int, message: Delivery, reason: str, queue: str) -> None:
        self._orders.put_nowait(partial(self._send_to_dead, delivery, message, reason, queue))

    def _read(self, delivery: int, queue: str, message: Delivery) -> None:
        found = self._reader.read(message, queue, delivery)
        if isinstance(found, PutToDead):
            self._put_to_dead(delivery, message, found.reason, queue)
        elif isinstance(found, ParkIt):
            self.settle(delivery, "park")
        else:
            self._turns.came(found.offer.published)
            self._on_input(found)

    async def _send_to_dead(self, delivery: int, message: Delivery, reason: str, queue: str) -> None:
        """To `bb.dead`, and off the queue once it is there; while it cannot be put there, park it."""
        await self._settle(delivery, "ack" if await self._dead(message, reason, queue) else "park")


async def _wait(gate: asyncio.Future[None]) -> None:
    await asyncio.wait([gate])
