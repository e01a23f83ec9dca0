"""The agent's side of a post office's offers: what is wanted, one at a time, and what becomes of each, in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial

import structlog

from contracts.frames.frames import QUEUES_MAX, ConsumeFrom, Frame, Offered
from contracts.frames.frames import Settle as SettleFrame
from worker_agent.core.inputs import Input
from worker_agent.link.frames.frame_message import FrameMessage
from worker_agent.link.offered import OfferReader, ParkIt, PutToDead
from worker_agent.link.port import LinkListener, Settle

log = structlog.get_logger(__name__)

#: How an offer is settled, as its frame says it.
_HOW = {"ack": "ack", "park": "park", "give_back": "back"}


class OfficeOffers:
    """Of one connection. `send` takes frames in order."""

    def __init__(
        self,
        reader: OfferReader,
        *,
        send: Callable[[Frame], None],
        on_input: Callable[[Input], None],
        deliveries: Iterator[int],
        listener: LinkListener,
    ) -> None:
        self._reader = reader
        self._send = send
        self._on_input = on_input
        self._deliveries = deliveries
        self._listener = listener
        self._wanted: tuple[str, ...] = ()
        #: offers that came, and how many had when one was asked for last
        self._seen = 0
        self._asked = -1
        #: the machine's delivery -> the office's
        self._numbers: dict[int, int] = {}
        self._missing: set[str] = set()
        #: orders, which wait for the gates before them
        self._orders: deque[asyncio.Future[None] | Callable[[], None]] = deque()

    # -- what comes ---------------------------------------------------------------------------------------------------

    def offered(self, frame: Offered, message: FrameMessage) -> None:
        """An offer came."""
        self._seen = frame.delivery
        delivery = next(self._deliveries)
        self._numbers[delivery] = frame.delivery
        try:
            found = self._reader.read(message, frame.queue, delivery)
        except Exception as error:  # whatever it is, it is settled, and the next one is served
            log.exception("offer_not_handled", queue=frame.queue)
            found = PutToDead(f"cannot be handled: {type(error).__name__}")
        if isinstance(found, PutToDead):
            self.send_to_dead(delivery, found.reason)
        elif isinstance(found, ParkIt):
            self.settle(delivery, "park")
        else:
            self._on_input(found)

    def missing(self, queue: str) -> None:
        """A queue that is wanted is not there."""
        if queue not in self._missing:
            self._missing.add(queue)
            log.info("queue_gone", queue=queue)
            self._listener.queue_gone(queue)

    def look(self) -> None:
        """Now and then: where the machine kept what came and goes on consuming, its own offer, say, ask again."""
        if self._wanted and self._asked != self._seen and not self._orders:
            self._ask_for_one()

    # -- orders, in the order in which they were given ----------------------------------------------------------------

    @property
    def consuming(self) -> frozenset[str]:
        """Queues that are wanted."""
        return frozenset(self._wanted)

    @property
    def waits(self) -> bool:
        """An order is not carried out yet."""
        return bool(self._orders)

    def consume(self, queues: tuple[str, ...]) -> None:
        """From these, and no others."""
        self._in_order(partial(self._consume, queues[:QUEUES_MAX]))

    def settle(self, delivery: int, how: Settle) -> None:
        """One that is gone is void."""
        self._in_order(partial(self._settle, delivery, _HOW[how], ""))

    def send_to_dead(self, delivery: int, reason: str) -> None:
        """The office moves it there."""
        self._listener.sent_to_dead()
        self._in_order(partial(self._settle, delivery, "dead", reason))

    def hold_until(self, gate: asyncio.Future[None]) -> None:
        """Orders that are given from now on wait for it."""
        self._orders.append(gate)
        gate.add_done_callback(lambda _: self._go_on())

    def _consume(self, queues: tuple[str, ...]) -> None:
        self._wanted = queues
        self._missing.clear()
        self._ask_for_one()

    def _ask_for_one(self) -> None:
        """Of what is wanted now: after each order, and after each offer that the machine is done with."""
        self._asked = self._seen
        self._send(ConsumeFrom(queues=self._wanted, seen=self._seen))

    def _settle(self, delivery: int, how: str, reason: str) -> None:
        number = self._numbers.pop(delivery, None)
        if number is None:
            return
        self._send(SettleFrame.model_validate({"delivery": number, "how": how, "reason": reason}))
        if self._wanted:
            self._ask_for_one()

    def _in_order(self, order: Callable[[], None]) -> None:
        """Now, or when the gates before it are open."""
        self._orders.append(order)
        self._go_on()

    def _go_on(self) -> None:
        while self._orders:
            first = self._orders[0]
            if isinstance(first, asyncio.Future):
                if not first.done():
                    return
                self._orders.popleft()
            else:
                self._orders.popleft()
                first()
