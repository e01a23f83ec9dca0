"""The two links of one transport, driven through their ports; what each side is told is kept in order."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet import defer, threads

from contracts.messages import AnyMessage, Event, Gone, Offer, Ping
from contracts.topology import cap_queue, key_word
from master_bridge.link.errors import LinkError
from master_bridge.link.making import make_link
from master_bridge.link.port import BridgeLink
from master_bridge.link.settings import LinkSettings
from tests.broker.bridge.conftest import Client
from tests.transports.port.middles import MASTER, Middle
from worker_agent.core.actions import Publish
from worker_agent.core.inputs import Confirmed, Input, LinkDown, LinkUp, MessageReceived, OfferDelivered, Refused
from worker_agent.link.link import Link
from worker_agent.link.options import LinkOptions
from worker_agent.link.port import LinkListener

Kind = TypeVar("Kind")
#: Seconds for anything that is to happen.
PATIENCE = 60.0
SIGNATURE = "gtk>=3"
QUEUE = cap_queue(SIGNATURE)


async def until(condition: Callable[[], Kind], what: str | Callable[[], str], timeout: float = PATIENCE) -> Kind:
    """The first true value of `condition`; fails with `what`."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {what() if callable(what) else what}"
        await asyncio.sleep(0.01)
    return found


class MasterEnd(Client):
    """A bridge's link, and whom it tells. `acks`: what comes is acknowledged at once."""

    def __init__(self, reactor: Any, middle: Middle, folder: Path, **settings: Any) -> None:
        super().__init__()
        self.reactor = reactor
        self._middle = middle
        self.acks = True
        self.link: BridgeLink = make_link(
            reactor,
            LinkSettings(url=middle.url, master=MASTER, **settings),
            self,
            folder=folder,
            renew_url=lambda: defer.succeed(middle.url),
        )

    def message_received(self, delivery: int, message: AnyMessage, user: str, size: int) -> None:
        super().message_received(delivery, message, user, size)
        if self.acks:
            self.link.ack(delivery)

    def agent_died(self, address: str) -> None:
        self.events.append(("died", address))

    async def call(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        """A method of the link, in the reactor's thread; what its Deferred fires with."""
        return await asyncio.to_thread(
            threads.blockingCallFromThread, self.reactor, lambda: getattr(self.link, method)(*arguments, **keywords)
        )

    async def wait(self, name: str, count: int = 1) -> list[tuple[Any, ...]]:
        """The first `count` things of that name, at least."""
        return await until(
            lambda: found if len(found := self.named(name)) >= count else [],
            lambda: f"{count} of {name} at the master; heard: {self.events[-10:]}",
        )

    def heard(self, kind: type[Kind]) -> list[Kind]:
        """Messages of that kind, in order."""
        return [event[2] for event in self.named("message") if isinstance(event[2], kind)]

    async def wait_heard(self, kind: type[Kind], count: int) -> list[Kind]:
        return await until(
            lambda: found if len(found := self.heard(kind)) >= count else [],
            lambda: f"{count} {kind.__name__} at the master, {len(self.heard(kind))} came",
        )

    async def up(self) -> MasterEnd:
        await self.call("start")
        await self.wait("up")
        return self

    async def offer(self, number: int, signature: str = SIGNATURE, priority: int = 0) -> Offer:
        offer = Offer(
            offer=f"o{number}",
            request=f"br-{number}",
            master=MASTER,
            user=key_word(self.link.user),
            ticket="t",
            run=number,
            signature=signature,
            kind="build",
            published=time.time(),
            builddir="b",
        )
        await self.call("publish_offer", offer, priority)
        await self.queue_is_there(signature)
        return offer

    async def queue_is_there(self, signature: str) -> None:
        """Who consumes a queue that is only being made hears that there is none. Not for ever: a link may be down.

        Nothing is taken out of it to see it, as `peek` would: that comes again, marked as redelivered.
        """
        there = threading.Event()
        for _ in range(20):
            await self.call("ensure_queues", [signature], there.set)
            if await asyncio.to_thread(there.wait, 0.1):
                return

    async def waiting(self, signature: str = SIGNATURE) -> int:
        """Offers that wait in the queue; none where it is not there yet."""
        try:
            shown, more = await self.call("peek", cap_queue(signature), 1000)
        except LinkError:
            return 0
        return len(shown) + int(more)

    async def until_waiting(self, count: int, signature: str = SIGNATURE) -> None:
        """So many offers wait."""
        deadline = time.monotonic() + PATIENCE
        while (found := await self.waiting(signature)) != count:
            assert time.monotonic() < deadline, f"{found} offers wait, not {count}"
            await asyncio.sleep(0.05)


class AgentEnd:
    """An agent's link, and what it is told."""

    def __init__(self, middle: Middle, name: str, epochs: itertools.count[int]) -> None:
        self.name = name
        self.inputs: list[Input] = []
        self.gone: list[str] = []
        self.asked = 0
        self._taken = 0
        listener = LinkListener(
            on_input=self._input, queue_gone=self.gone.append, sent_to_dead=lambda: None, asked=self._ask
        )
        self.link = Link(
            (LinkOptions(url=middle.agents_url, name=name, reconnect_max=0.5),),
            instance=name,
            agent=name,
            next_epoch=epochs.__next__,
            listener=listener,
        )
        self._running = asyncio.get_running_loop().create_task(self.link.run())

    def _input(self, what: Input) -> None:
        self.inputs.append(what)
        if isinstance(what, LinkUp):
            self.link.enter()

    def _ask(self) -> None:
        self.asked += 1

    async def close(self) -> None:
        self._running.cancel()
        await asyncio.wait([self._running])

    def told(self, kind: type[Kind]) -> list[Kind]:
        """Inputs of that kind, in order."""
        return [each for each in self.inputs if isinstance(each, kind)]

    def heard(self, kind: type[Kind]) -> list[Kind]:
        """Messages of that kind, in order."""
        return [each.message for each in self.told(MessageReceived) if isinstance(each.message, kind)]

    async def wait(self, kind: type[Kind], count: int = 1) -> list[Kind]:
        return await until(
            lambda: found if len(found := self.told(kind)) >= count else [],
            lambda: f"{count} {kind.__name__} at {self.name}; told: {self.inputs[-10:]}",
        )

    async def wait_heard(self, kind: type[Kind], count: int = 1) -> list[Kind]:
        return await until(
            lambda: found if len(found := self.heard(kind)) >= count else [],
            lambda: f"{count} {kind.__name__} at {self.name}, {len(self.heard(kind))} came",
        )

    async def up(self, count: int = 1) -> LinkUp:
        """The `count`th life of the link."""
        return (await self.wait(LinkUp, count))[count - 1]

    async def again(self) -> LinkUp:
        """A life after all that were so far."""
        return await self.up(len(self.told(LinkUp)) + 1)

    # -- orders

    async def take(self, *queues: str) -> OfferDelivered:
        """The next offer of the queues; none after it, as an agent asks for it."""
        self.link.consume(queues or (QUEUE,))
        self._taken += 1
        found = (await self.wait(OfferDelivered, self._taken))[self._taken - 1]
        self.link.cancel_consumers()
        return found

    def claim(self, number: int, *, token: int | None = None, master: str = MASTER, detail: str = "") -> None:
        """A small message to the master's claims."""
        message = Gone(session=f"s{number}", request="br-1", master=master, epoch=1, address=self.link.address,
                       reason="unknown", detail=detail)  # fmt: skip
        self.link.publish(Publish(message=message, master=master, to="claims", token=token))

    def event(self, number: int, data: bytes = b"", *, token: int | None = None) -> None:
        """A message to the master's events."""
        message = Event(session="s", seq=number, n=1, kind="stdout", data=data)
        self.link.publish(Publish(message=message, master=MASTER, to="events", token=token))

    async def answered(self, token: int) -> Confirmed | Refused:
        """What became of the publication with this token."""
        return (await until(lambda: self.answers(token), f"an answer to {token} at {self.name}"))[0]

    def answers(self, token: int) -> list[Confirmed | Refused]:
        return [each for each in self.inputs if isinstance(each, (Confirmed, Refused)) and each.token == token]

    @property
    def downs(self) -> int:
        """How often the link was lost."""
        return len(self.told(LinkDown))


def ping(number: int) -> Ping:
    """A small message to an agent."""
    return Ping(session=f"s{number}", incarnation="i", stored=number)


def number_of(message: Gone | Ping) -> int:
    """As `AgentEnd.claim` and `ping` were given it."""
    return int(message.session[1:])
