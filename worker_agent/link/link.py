"""Keeps the link up for ever and is the one door to it: orders in, inputs of the machine out.

A transport is imported when a URL names it: each costs an agent's start, and its memory, which it has of one only.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from contracts import topology
from contracts.messages import AnyMessage, Status
from contracts.operations.office_url import SSH, STDIO
from worker_agent.core.actions import Publish
from worker_agent.core.inputs import LinkDown, LinkUp
from worker_agent.link.errors import LinkError
from worker_agent.link.options import LinkOptions
from worker_agent.link.port import Kept, LinkListener, OpenLink, Settle
from worker_agent.program.loading import BadSettings, read_url

if TYPE_CHECKING:
    from worker_agent.link.amqp.connected import OfBroker
    from worker_agent.link.frames.attaching import Attaching

log = structlog.get_logger(__name__)

#: A link that lived shorter than this, in seconds, counts as a failed try: the pauses go on growing.
SETTLED = 10.0
#: Upper bound of the first pauses, seconds, and the part of the time without a link that later ones may take, up to
#: `LinkOptions.reconnect_max`. Pauses are drawn evenly from zero up to the bound ("full jitter"), so that a fleet does
#: not come back in one moment. A bridge gives a silent agent up after 5 s (contracts.timing.GRACE): pauses that double
#: with each try slept through the rest of it after a cut of 3 s (measured: back after 6.5 s); so they are short in it.
FIRST_PAUSE = 0.5
PAUSE_PART = 0.2


#: Seconds between two tries to come back to where the agent should be, while it is at the other of its URLs.
COME_BACK_EVERY = 5.0
#: Seconds without a link at the place where it should be, after which the other of its URLs is tried. More than the
#: 35 s for which a bridge waits for its agents after its own link came up (contracts.timing.GRACE_AFTER_LINK_UP).
PATIENCE = 60.0


def longest_pause(away: float, most: float) -> float:
    """Upper bound of the pause before the next try, after `away` seconds without a link; `most` is never exceeded."""
    return min(most, max(FIRST_PAUSE, PAUSE_PART * away))


class Link:
    """The agent's link.

    `next_epoch` gives a number greater than any before, of any process of this instance.

    Orders are dropped while the link is down, and until `enter` says that the machine knows of a new one: they were
    meant for the connection before.
    """

    def __init__(
        self,
        ways: tuple[LinkOptions, ...],
        *,
        instance: str,
        agent: str,
        next_epoch: Callable[[], int],
        listener: LinkListener,
    ) -> None:
        #: where it may be: the first is where it should be, the others are tried where that cannot be had
        self._ways = list(ways)
        self._way = 0
        self._instance = instance
        self._next_epoch = next_epoch
        self._listener = listener
        self._kept = Kept(agent=agent, deliveries=itertools.count(1))
        self._of_brokers: dict[str, OfBroker] = {}
        #: masters of other versions; its `heard` is for metrics
        self.foreign = self._kept.foreign
        self._attach_at = ways[-1].attach_at
        #: where a master's ssh comes; None: no URL has named that
        self._attaching: Attaching | None = None
        #: processes of a wire, whose exit statuses are waited for
        self.children: set[int] = set()
        self._connected: OpenLink | None = None
        #: opened before the one before is left, with its address
        self._next: OpenLink | None = None
        self._moving: asyncio.Task[None] | None = None
        self._returning: asyncio.Task[None] | None = None
        #: when it was lost, or tried first, by the loop's clock
        self._away_since: float | None = None
        #: seconds without a link before that, since one settled: of links that were as good as failed tries
        self._away_before = 0.0
        self._entered: OpenLink | None = None
        self._told = ""
        self._url_trouble = ""
        self._address = ""

    # -- life ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, and connect again, until cancelled."""
        try:
            while True:
                async for attempt in AsyncRetrying(
                    wait=self._pause,
                    retry=retry_if_exception_type(LinkError),
                    before_sleep=self._say_once,
                ):
                    with attempt:
                        await self._live()
        finally:
            for task in (self._moving, self._returning):
                if task is not None:
                    task.cancel()
            try:
                await self._leave()
            finally:
                if self._next is not None:
                    await self._next.close()
                if self._attaching is not None:
                    await self._attaching.close()

    async def _live(self) -> None:
        """One link from opening to loss. Raises `LinkError` when it failed or was short-lived."""
        loop = asyncio.get_running_loop()
        if self._away_since is None:
            self._away_since = loop.time()
        connected, self._next = self._next, None
        if connected is None:
            await self._read_url_again()
            try:
                connected = await self._open(self.options)
            except LinkError:
                self._try_elsewhere(loop.time())
                raise
        options = self.options
        epoch, address = self._next_epoch(), connected.address
        began = loop.time()
        self._away_before += began - self._away_since
        self._connected = connected
        self._address = address
        self._told = ""
        log.info("link_up", broker=options.where, version=connected.product, address=address)
        self._listener.on_input(LinkUp(epoch=epoch, address=address, opened_at=connected.opened_at))
        self._come_back_later()
        reason = await connected.lost
        self._away_since = loop.time()
        await self._leave()
        self._told = reason
        log.warning("link_down", broker=options.where, reason=reason)
        self._listener.on_input(LinkDown())
        settled = self._away_since - began >= SETTLED
        if settled:
            self._away_before = 0.0
        if self._next is not None:
            return
        self._way = 0
        if not settled:
            raise LinkError(reason)

    @property
    def options(self) -> LinkOptions:
        """Of where it is, or is tried now."""
        return self._ways[self._way]

    async def _open(self, options: LinkOptions) -> OpenLink:
        """A new life of the link there, with an address of its own. Raises `LinkError`."""
        address = topology.control_address(options.user, self._instance, token_hex(6))
        opened = self._make(options, address)
        await opened.open()
        return opened

    def _make(self, options: LinkOptions, address: str) -> OpenLink:
        """For the transport that the URL names."""
        if options.is_office:
            from worker_agent.link.frames.open_link import OfficeOpenLink

            return OfficeOpenLink(options, address, self._listener, self._kept, self._wire(options))
        from worker_agent.link.amqp.connected import Connected, OfBroker

        of_broker = self._of_brokers.setdefault(options.where, OfBroker())
        return Connected(options, address, self._listener, self._kept, of_broker)

    # -- another place ----------------------------------------------------------------------------------------------

    def move(self, options: LinkOptions, otherwise: LinkOptions, moved: Callable[[], None]) -> None:
        """Be there from now on, once that has let us in; until then all goes on here. `moved` is called then.

        `otherwise`: what is tried where that cannot be had any more.
        """
        ways = [options] if options.url == otherwise.url else [options, otherwise]
        if self._moving is not None:  # the last order counts
            self._moving.cancel()
        self._moving = asyncio.get_running_loop().create_task(self._moved(options, ways, moved))

    async def _moved(self, options: LinkOptions, ways: list[LinkOptions], moved: Callable[[], None]) -> None:
        try:
            opened = await self._open(options)
        except LinkError as error:
            log.error("move_failed", to=options.where, reason=str(error), effect="the agent stays where it is")
            return
        moved()
        log.info("moved", to=options.where)
        self._ways = ways
        await self._swap(opened)

    def _try_elsewhere(self, now: float) -> None:
        """Only where it cannot be had for long: a place that is left may let agents in, and have no master any more."""
        if self._away_since is not None and now - self._away_since > PATIENCE:
            self._way = (self._way + 1) % len(self._ways)

    def _come_back_later(self) -> None:
        """Where it is not where it should be: look for a way back."""
        if self._returning is not None:
            self._returning.cancel()
            self._returning = None
        if self._way > 0:
            self._returning = asyncio.get_running_loop().create_task(self._come_back())

    async def _come_back(self) -> None:
        while True:
            await asyncio.sleep(COME_BACK_EVERY)
            try:
                opened = await self._open(self._ways[0])
            except LinkError:
                continue
            await self._swap(opened)
            return

    async def _swap(self, opened: OpenLink) -> None:
        """The next life of the link is this one, at once."""
        stale, self._next, self._way = self._next, opened, 0
        if stale is not None:
            await stale.close()
        current = self._connected
        if current is not None and not current.lost.done():
            current.lost.set_result("the agent moves")

    def _wire(self, options: LinkOptions) -> Callable[[LinkOptions], Any]:
        """What opens the wire that the URL names."""
        if options.office.wire == SSH:
            from worker_agent.link.frames.ssh import open_ssh

            return partial(open_ssh, children=self.children)
        if options.office.wire == STDIO:
            from worker_agent.link.frames.attaching import Attaching

            self._attaching = self._attaching or Attaching(self._attach_at)
            return self._attaching.open
        from worker_agent.link.frames.wires import open_wire

        return open_wire

    async def _read_url_again(self) -> None:
        """The file may hold another password than at our start: each try is made with what it holds then."""
        file = self.options.url_file
        if file is None:
            return
        try:
            url = await asyncio.to_thread(read_url, file)
        except BadSettings as error:
            if str(error) != self._url_trouble:
                self._url_trouble = str(error)
                log.warning("amqp_url_file_unusable", reason=str(error), effect="the URL that was read before is used")
            return
        self._url_trouble = ""
        if url != self.options.url:
            self._ways[self._way] = replace(self.options, url=url)
            log.info("amqp_url_changed", file=str(file), broker=self.options.where, user=self.options.user)

    async def _leave(self) -> None:
        connected, self._connected, self._entered = self._connected, None, None
        if connected is not None:
            await connected.close()

    def _pause(self, _state: RetryCallState) -> float:
        most = FIRST_PAUSE if self.options.is_reached else self.options.reconnect_max  # whoever reaches us has pauses
        return random.uniform(0, longest_pause(self._away(), most))  # noqa: S311  # jitter, no secret

    def _away(self) -> float:
        """Seconds without a link since one settled: how long one was up counts for nothing."""
        now = asyncio.get_running_loop().time()
        return self._away_before + (0.0 if self._away_since is None else now - self._away_since)

    def _say_once(self, state: RetryCallState) -> None:
        """One line when the reason changes, none for each try."""
        error = state.outcome.exception() if state.outcome else None
        if str(error) != self._told:
            self._told = str(error)
            log.warning("broker_unreachable", reason=self._told, retry="for ever, pauses grow to "
                        f"{self.options.reconnect_max:g} s")  # fmt: skip

    @property
    def up(self) -> bool:
        """Both connections are open."""
        return self._connected is not None

    @property
    def address(self) -> str:
        """The control queue of the present link, or of the last one."""
        return self._address

    @property
    def consuming(self) -> frozenset[str]:
        """`cap.*` queues that are consumed now."""
        return self._entered.consuming if self._entered else frozenset()

    @property
    def unconfirmed(self) -> int:
        """Publications that wait for the broker's confirm."""
        return self._entered.unconfirmed if self._entered else 0

    @property
    def entered(self) -> bool:
        """The machine knows of the present link."""
        return self._entered is not None

    def enter(self) -> None:
        """The machine is about to be told of the present link: orders count for it from now on."""
        self._entered = self._connected

    def version_with(self, master: str) -> int:
        """The version of the protocol that was agreed with this master."""
        return self._kept.agreements.with_peer(master)

    # -- orders ----------------------------------------------------------------------------------------------------

    def publish(self, order: Publish, after: asyncio.Future[None] | None = None) -> None:
        """Once `after` is done; dropped while the link is down."""
        if self._entered:
            self._entered.publish(order, after)

    def publish_status(self, status: Status) -> None:
        """To `bb.fleet`; dropped while the link is down."""
        if self._entered:
            self._entered.publish_status(status)

    def consume(self, queues: tuple[str, ...]) -> None:
        """From these `cap.*` queues, and no others, from now on."""
        if self._entered:
            self._entered.consume(queues)

    def cancel_consumers(self) -> None:
        """From no queue, from now on."""
        if self._entered:
            self._entered.cancel_consumers()

    def settle(self, delivery: int, how: Settle) -> None:
        """What becomes of the offer that came as this delivery."""
        if self._entered:
            self._entered.settle(delivery, how)

    def send_to_dead(self, delivery: int, reason: str) -> None:
        """To `bb.dead` with the reason, and off its queue."""
        if self._entered:
            self._entered.send_to_dead(delivery, reason)

    def reject(self, message: AnyMessage, reason: str) -> None:
        """What came to the control queue and is not to be believed: to `bb.dead` with the reason."""
        if self._entered:
            self._entered.reject(message, reason)

    def hold_until(self, gate: asyncio.Future[None]) -> None:
        """Orders on offers that are given from now on wait for `gate`; publications do not."""
        if self._entered:
            self._entered.hold_until(gate)

    async def flush(self) -> None:
        """Until all that was ordered is carried out and confirmed, or the link is lost."""
        entered = self._entered
        if entered is None:
            return
        done = asyncio.get_running_loop().create_task(entered.flush())
        futures: list[asyncio.Future[Any]] = [done, entered.lost]
        await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
        done.cancel()

    async def existing(self, queues: Iterable[str], misses: int | None = None) -> dict[str, bool] | None:
        """Which of `queues` exist, as `existing_queues` does; None when the link is down or went down meanwhile."""
        connected = self._connected
        return None if connected is None else await connected.existing(queues, misses)
