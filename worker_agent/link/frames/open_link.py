"""An open link to a post office: frames over a wire, in order, until one end or the way between them is lost."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import structlog
from pydantic import SecretStr

from contracts import topology
from contracts.burial import headers_of
from contracts.codec import Wire, encode
from contracts.errors import TooLarge
from contracts.frames.both_ends import both_ends
from contracts.frames.codec import NotAFrame, pack, unpack
from contracts.frames.frames import (
    FRAMES_VERSION,
    QUEUES_MAX,
    Answer,
    Beat,
    Bye,
    Carried,
    Denied,
    Frame,
    Hello,
    LookFor,
    Missing,
    Offered,
    Say,
    There,
    Told,
    Welcome,
)
from contracts.messages import AnyMessage, Message, Status
from contracts.operations.broker_failure import plain
from worker_agent.core.actions import Publish
from worker_agent.core.inputs import Confirmed, Input, Refused
from worker_agent.link.control import ControlReader
from worker_agent.link.errors import LinkError
from worker_agent.link.frames.frame_message import FrameMessage
from worker_agent.link.frames.offers import OfficeOffers
from worker_agent.link.frames.wire import FrameWire, WireLost
from worker_agent.link.in_time import in_time, undisturbed
from worker_agent.link.offered import OfferReader
from worker_agent.link.options import LinkOptions
from worker_agent.link.port import Kept, LinkListener, Settle

log = structlog.get_logger(__name__)

#: Seconds between two looks at whether an offer is still asked for.
SUPERVISE_EVERY = 1.0
#: Seconds for what was said last to leave before the wire is cut.
GOODBYE = 2.0


class OfficeOpenLink:
    """An `OpenLink` to a post office. `open_wire` is the wire's."""

    def __init__(
        self,
        options: LinkOptions,
        address: str,
        listener: LinkListener,
        kept: Kept,
        open_wire: Callable[[LinkOptions], Any],
    ) -> None:
        self.address = address
        self.opened_at = 0.0
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.product = ""
        self._options = options
        self._listener = listener
        self._kept = kept
        self._open_wire = open_wire
        self._wire: FrameWire | None = None
        #: the other side does not read, and so will not answer a goodbye
        self._silent = False
        #: what has the keepers let go of their copies of the connection
        self._let_go: Callable[[], None] | None = None
        self._silence = 0.0
        self._heard = self._sent = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        #: frames that wait for the wire; how many there are is bounded by the machine's windows
        self._outgoing: deque[tuple[Frame, bytes]] = deque()
        self._something = asyncio.Event()
        self._numbers = 0
        #: number of a `Say` -> what its answer is for
        self._unanswered: dict[int, Callable[[str], None]] = {}
        self._looking: dict[int, asyncio.Future[frozenset[str]]] = {}
        self._offers = OfficeOffers(
            OfferReader(trust=options.trust, foreign=kept.foreign),
            send=self._send,
            on_input=self._on_input,
            deliveries=kept.deliveries,
            listener=listener,
        )
        self._control = ControlReader(
            address,
            kept=kept,
            trust=options.trust,
            on_input=self._on_input,
            asked=listener.asked,
            dead=self._bury_message,
        )

    # -- life ---------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        try:
            self._wire = await self._open_wire(self._options)
            await in_time(self._log_in(self._wire), self._options.connect_timeout)
            await self._have_it_held(self._wire)
        except (WireLost, NotAFrame, asyncio.TimeoutError) as error:
            await self.close()
            reason = str(error) or f"{self._options.where} accepts a connection and then says nothing"
            raise LinkError(reason) from error
        except BaseException:
            await self.close()
            raise
        self.opened_at = time.time()
        self._heard = self._sent = asyncio.get_running_loop().time()
        for part in (self._send_all, self._receive_all, self._beat):
            task = asyncio.get_running_loop().create_task(self._guarded(part))
            self._tasks.add(task)

    async def _log_in(self, wire: FrameWire) -> None:
        """Raises `WireLost` with what the master says of it."""
        office = self._options.office
        token = None if office.token is None else SecretStr(office.token)
        hello = Hello(
            version=FRAMES_VERSION, user=office.user, token=token, agent=self._kept.agent[:200], address=self.address
        )
        await wire.send(pack(hello))
        answer = unpack(await wire.receive())
        if isinstance(answer, (Denied, Bye)):
            raise WireLost(f"{self._options.where} does not let user {office.user!r} in: {plain(answer.reason)}")
        if not isinstance(answer, Welcome):
            raise WireLost(f"{self._options.where} answers a login with a {answer.f}")
        self.product, self._silence = plain(answer.product), answer.silence

    async def _have_it_held(self, wire: FrameWire) -> None:
        """By all processes that keep sessions: then its end says that none of them is left. Raises `WireLost`."""
        connection = wire.connection
        if connection is None:
            return
        self._let_go = await self._listener.hold(connection.fileno())
        if self._let_go is not None:
            with contextlib.suppress(OSError):  # it is lost already, as whoever reads will hear
                ends = both_ends(connection.getsockname(), connection.getpeername())
                await wire.send(pack(Beat(ends=ends)))

    async def close(self) -> None:
        self._end("closed")
        self._closed = True
        await undisturbed(self._close())

    async def _close(self) -> None:
        wire, self._wire = self._wire, None
        for task in self._tasks:
            task.cancel()
        for looking in self._looking.values():
            looking.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if wire is not None:
            if not self._silent:
                with contextlib.suppress(WireLost, asyncio.TimeoutError):
                    await asyncio.wait_for(self._say_goodbye(wire), GOODBYE)
            if self._let_go is not None:
                self._let_go()
            await wire.close()

    async def _say_goodbye(self, wire: FrameWire) -> None:
        """Done when it was heard. Raises `WireLost`, which is how that is known, too."""
        await wire.send(pack(Bye(reason="the agent ends this connection")))
        while wire.connection is not None:
            await wire.receive()

    def _end(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)

    async def _guarded(self, part: Callable[[], Any]) -> None:
        """Each is to live as long as the link: without one it is of no use."""
        try:
            await part()
        except WireLost as error:
            self._end(str(error))
        except Exception as error:
            log.exception("link_part_failed")
            self._end(f"a part of it failed: {plain(error) or type(error).__name__}")

    async def _send_all(self) -> None:
        assert self._wire is not None
        while True:
            while self._outgoing:
                frame, body = self._outgoing.popleft()
                try:
                    packed = pack(frame, body)
                except NotAFrame as error:
                    log.error("frame_not_sent", frame=frame.f, reason=str(error))
                    continue
                await self._wire.send(packed)
                self._sent = asyncio.get_running_loop().time()
            self._something.clear()
            await self._something.wait()

    async def _receive_all(self) -> None:
        assert self._wire is not None
        while True:
            packed = await self._wire.receive()
            self._heard = asyncio.get_running_loop().time()
            try:
                frame = unpack(packed)
            except NotAFrame as error:
                raise WireLost(f"{self._options.where} sent what is no frame: {error}") from None
            await self._came(frame, packed.body)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(min(SUPERVISE_EVERY, self._silence / 6))
            self._offers.look()
            now = asyncio.get_running_loop().time()
            if now - self._heard > self._silence:
                self._silent = True
                self._end(f"nothing was heard of {self._options.where} for {self._silence:g} s")
                return
            if now - self._sent > self._silence / 3:
                self._send(Beat())

    def _send(self, frame: Frame, body: bytes = b"") -> None:
        if not self._closed:
            self._outgoing.append((frame, body))
            self._something.set()

    def _on_input(self, what: Input) -> None:
        if not self._closed:
            self._listener.on_input(what)

    # -- what comes ---------------------------------------------------------------------------------------------------

    async def _came(self, frame: Frame, body: bytes) -> None:
        if isinstance(frame, Told):
            await self._control.read(FrameMessage.told(frame, body))
        elif isinstance(frame, Offered):
            self._offers.offered(frame, FrameMessage.offered(frame, body))
        elif isinstance(frame, Answer):
            answered = self._unanswered.pop(frame.number, None)
            if answered is not None:
                answered(frame.outcome)
        elif isinstance(frame, There):
            looking = self._looking.pop(frame.number, None)
            if looking is not None and not looking.done():
                looking.set_result(frozenset(frame.queues))
        elif isinstance(frame, Missing):
            self._offers.missing(frame.queue)
        elif isinstance(frame, Bye):
            raise WireLost(f"{self._options.where} ended the connection: {plain(frame.reason)}")

    # -- offers -------------------------------------------------------------------------------------------------------

    @property
    def consuming(self) -> frozenset[str]:
        return self._offers.consuming

    def consume(self, queues: tuple[str, ...]) -> None:
        self._offers.consume(queues)

    def cancel_consumers(self) -> None:
        self._offers.consume(())

    def settle(self, delivery: int, how: Settle) -> None:
        self._offers.settle(delivery, how)

    def send_to_dead(self, delivery: int, reason: str) -> None:
        self._offers.send_to_dead(delivery, reason)

    def hold_until(self, gate: asyncio.Future[None]) -> None:
        self._offers.hold_until(gate)

    # -- publications -------------------------------------------------------------------------------------------------

    @property
    def unconfirmed(self) -> int:
        return len(self._unanswered)

    def publish(self, order: Publish, after: asyncio.Future[None] | None = None) -> None:
        wire = self._encoded(order.message, self._kept.agreements.with_peer(order.master))
        if wire is None:
            return
        send = partial(self._publish, order, wire)
        if after is None or after.done():
            send()
        else:
            after.add_done_callback(lambda _: send())

    def _publish(self, order: Publish, wire: Wire) -> None:
        def answered(outcome: str) -> None:
            if order.token is None:
                return
            taken = outcome == "taken"
            refused = Refused(token=order.token, returned=outcome == "returned")
            self._on_input(Confirmed(token=order.token) if taken else refused)

        self._say(order.to, order.master, wire, answered, expires=order.expires)

    def publish_status(self, status: Status) -> None:
        wire = self._encoded(status)
        if wire is not None:
            self._say("fleet", topology.STATUS_KEY, wire)

    def reject(self, message: AnyMessage, reason: str) -> None:
        wire = self._encoded(message)
        if wire is not None:
            self._bury(wire, reason, self.address)

    async def _bury_message(self, message: Any, reason: str, queue: str) -> None:
        wire = Wire(type=message.type, content_type=message.content_type, body=message.body, headers=message.headers)
        self._bury(wire, reason, queue)

    def _bury(self, wire: Wire, reason: str, queue: str) -> None:
        self._listener.sent_to_dead()
        headers = headers_of(wire.headers, reason=reason, queue=queue, agent=self._kept.agent)
        dead = Wire(type=wire.type[:64], content_type=wire.content_type[:64], body=wire.body, headers=headers)
        self._say("dead", queue, dead)

    def _say(
        self,
        to: str,
        key: str,
        wire: Wire,
        answered: Callable[[str], None] = lambda _outcome: None,
        *,
        expires: float | None = None,
    ) -> None:
        self._numbers += 1
        self._unanswered[self._numbers] = answered
        carried = Carried(
            type=wire.type,
            content_type=wire.content_type,
            headers={name: str(value) for name, value in wire.headers.items()},
        )
        fields = {"number": self._numbers, "to": to, "key": key, "expires": expires, "message": carried}
        self._send(Say.model_validate(fields), wire.body)

    def _encoded(self, message: Message, version: int | None = None) -> Wire | None:
        """None: no reader would take it. Whoever makes messages bounds them; this is for what was forgotten there."""
        try:
            return encode(message, version)
        except TooLarge as error:
            log.error("message_not_sent", reason=str(error), remedy="report it: a part of it should have been bounded")
            return None

    # -- questions ----------------------------------------------------------------------------------------------------

    async def flush(self) -> None:
        while self._offers.waits or self._outgoing or self._unanswered:  # noqa: ASYNC110  # three things end it, each in its way
            await asyncio.sleep(0.01)

    async def existing(self, queues: Iterable[str], misses: int | None = None) -> dict[str, bool] | None:
        """All at once, in one question: `misses` costs nothing here."""
        names = list(dict.fromkeys(queues))
        found: dict[str, bool] = {}
        for start in range(0, len(names), QUEUES_MAX):
            part = names[start : start + QUEUES_MAX]
            self._numbers += 1
            looking: asyncio.Future[frozenset[str]] = asyncio.get_running_loop().create_future()
            self._looking[self._numbers] = looking
            self._send(LookFor(number=self._numbers, queues=tuple(part)))
            either: list[asyncio.Future[Any]] = [looking, self.lost]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not looking.done() or looking.cancelled():
                return None
            there = looking.result()
            found.update((name, name in there) for name in part)
        return found
