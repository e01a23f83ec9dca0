"""The agent's real loop, machine, checks and status between a link and sessions that only write down their orders."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from contracts.messages import Command, Grant, Offer, Steer
from worker_agent.agent import loop, parts
from worker_agent.agent.ending import EndReason
from worker_agent.agent.instance import Instance
from worker_agent.agent.loop import Agent
from worker_agent.core import actions, inputs
from worker_agent.core.inputs import Recovered
from worker_agent.link.port import LinkListener
from worker_agent.program.settings import Settings

#: Seconds within which anything comes; generous, since machines are shared. With `make mutation` much does not come.
DEADLINE = 5.0 if "MUTANT_UNDER_TEST" in os.environ else 30.0
QUEUE = "cap.any"
#: the account of the masters that are heard
USER = "bridge"


class FakeLink:
    """Orders are written down; the test says what comes in."""

    def __init__(self, options: Any, *, listener: LinkListener, **named: Any) -> None:
        self.options = SimpleNamespace(trust=SimpleNamespace(refused=0))
        self.foreign = SimpleNamespace(heard=0)
        self.put: Callable[[Any], None] = listener.on_input
        self.asked = listener.asked
        self.orders: list[tuple[Any, ...]] = []
        self.entered = self.up = False
        self.address = "agent.u.i.1"
        self.unconfirmed = 0
        self.consuming: frozenset[str] = frozenset()
        self.epoch = 0
        #: processes of the link's own
        self.children: frozenset[int] = frozenset()
        self.flushed = asyncio.Event()
        self.flushed.set()
        #: publishing fails with this
        self.fails: Exception | None = None

    async def run(self) -> None:
        await asyncio.Event().wait()

    def enter(self) -> None:
        self.entered = True

    def version_with(self, master: str) -> int | None:
        return None

    def publish(self, order: actions.Publish, after: Any = None) -> None:
        if self.fails is not None:
            raise self.fails
        self.orders.append(("publish", order.message))

    def publish_status(self, status: Any) -> None:
        self.orders.append(("status", status))

    def consume(self, queues: tuple[str, ...]) -> None:
        self.orders.append(("consume", queues))

    def cancel_consumers(self) -> None:
        self.orders.append(("cancel",))

    def settle(self, delivery: int, how: str) -> None:
        self.orders.append(("settle", delivery, how))

    def send_to_dead(self, delivery: int, reason: str) -> None:
        self.orders.append(("send_to_dead", delivery, reason))

    def reject(self, message: Any, reason: str) -> None:
        self.orders.append(("reject", message, reason))

    def hold_until(self, gate: Any) -> None:
        self.orders.append(("hold until", gate))

    async def flush(self) -> None:
        await self.flushed.wait()

    async def existing(self, queues: Iterable[str], misses: int | None = None) -> dict[str, bool] | None:
        return {}


class FakeSessions:
    """Likewise; `found` is what an earlier process left."""

    found: tuple[Recovered, ...] = ()

    def __init__(self, *args: Any, **named: Any) -> None:
        self.named = named
        self.orders: list[tuple[Any, ...]] = []
        self.keeper_pids: set[int] = set()
        self.ended = asyncio.Event()
        self.ended.set()

    def __len__(self) -> int:
        return 0

    def journal_bytes(self) -> int:
        return 0

    async def recover(self) -> list[Recovered]:
        return list(self.found)

    async def hold_link(self, descriptor: int) -> None:
        self.orders.append(("hold link", descriptor))

    def expect(self) -> None:
        self.orders.append(("expect",))

    def open(self, action: actions.OpenSession) -> None:
        self.orders.append(("open", action.session))

    def persist(self, meta: Any) -> None:
        self.orders.append(("persist", meta.session))

    def order(self, session: str, order: Any) -> None:
        self.orders.append(("order", session, getattr(getattr(order, "func", order), "__name__", "?")))

    def close(self, session: str, *, keep_journal: bool) -> asyncio.Task[None]:
        self.orders.append(("close", session, keep_journal))
        return asyncio.get_running_loop().create_task(self._closed())

    async def _closed(self) -> None:
        await self.ended.wait()

    async def detach(self) -> None:
        self.orders.append(("detach",))

    async def idle(self) -> None:
        await self.ended.wait()
        self.orders.append(("idle",))


class Stage:
    """An agent that runs. `link` and `sessions` are what it talks to."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        values = {"amqp_url": SecretStr("amqp://u@h/"), "name": "a1", "capabilities_d": (), **settings}
        self.instance = Instance(folder / "state")
        self.agent = Agent(Settings(state=folder / "state", basedir=folder / "builds", **values), self.instance)
        self.link: FakeLink = self.agent.parts.link  # type: ignore[assignment]
        self.sessions: FakeSessions = self.agent.parts.sessions  # type: ignore[assignment]
        self.deliveries = 0
        #: errors that the agent said and went on; tests plant some, which say so
        self.failed: list[Exception] = []
        say = self.agent._errors.say

        def note(part: str, error: Exception, **fields: object) -> None:
            self.failed.append(error)
            say(part, error, **fields)

        self.agent._errors.say = note  # type: ignore[method-assign]
        #: what the checks find: reasons against new work, and whether it is able
        self.unwell: tuple[str, ...] = ()
        self.able: bool | Exception = True
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.agent.parts.checks._health.check = self._check  # type: ignore[method-assign]
        self.agent.parts.abilities.still_able = self._still_able  # type: ignore[method-assign]
        self.run: asyncio.Task[EndReason] = asyncio.get_running_loop().create_task(self.agent.run())

    async def _check(self) -> tuple[str, ...]:
        await self.may_answer.wait()
        return self.unwell

    async def _still_able(self, signature: str) -> bool:
        if isinstance(self.able, Exception):
            raise self.able
        return self.able

    # ---- what comes in

    async def begin(self) -> Stage:
        """The link is up, and there is a queue to consume."""
        self.link_up()
        self.link.put(inputs.QueuesKnown(queues=frozenset({QUEUE})))
        await self.until(lambda: ("consume", (QUEUE,)) in self.link.orders, "it consumes")
        return self

    def link_up(self) -> None:
        self.link.epoch += 1
        self.link.put(inputs.LinkUp(epoch=self.link.epoch, address=self.link.address, opened_at=0.0))

    def link_down(self) -> None:
        self.link.entered = False
        self.link.put(inputs.LinkDown())

    def offer(self, **fields: Any) -> int:
        self.deliveries += 1
        values: dict[str, Any] = {
            "offer": f"o{self.deliveries}", "request": f"br-{self.deliveries}", "master": "m", "user": USER,
            "ticket": "t", "run": 1, "signature": "any", "kind": "build", "published": 1.0, "builddir": "b",
        }  # fmt: skip
        offer = Offer(**{**values, **fields})
        self.link.put(
            inputs.OfferDelivered(delivery=self.deliveries, queue=QUEUE, offer=offer, redelivered=False, deaths=0)
        )
        return self.deliveries

    def hear(self, message: Any) -> None:
        self.link.put(inputs.MessageReceived(message=message, user=USER))

    def steer(self, order: Any, **fields: Any) -> None:
        self.hear(Steer(order=order, **fields))

    async def claimed(self) -> str:
        """An offer comes and is claimed; its session."""
        before = len(self.said("claim"))
        self.offer()
        await self.until(lambda: len(self.said("claim")) > before, "the claim")
        return str(self.said("claim")[-1].session)

    async def held(self) -> str:
        session = await self.claimed()
        self.hear(Grant(session=session, master="m", incarnation="I1", run=1, stored=0, ticket="t"))
        await self.until(lambda: self.said("accept"), "the accept")
        return session

    # ---- what comes out

    def said(self, kind: str) -> list[Any]:
        return [order[1] for order in self.link.orders if order[0] == "publish" and order[1].t == kind]

    @property
    def status(self) -> Any:
        """The last one that was told."""
        return next(order[1] for order in reversed(self.link.orders) if order[0] == "status")

    @property
    def did(self) -> list[tuple[Any, ...]]:
        """Orders about offers, in their order."""
        return [order for order in self.link.orders if order[0] in ("consume", "cancel", "settle", "send_to_dead")]

    async def until(self, condition: Callable[[], Any], what: str) -> None:
        end = asyncio.get_running_loop().time() + DEADLINE
        while not condition():
            if self.run.done():
                self.run.result()
            assert asyncio.get_running_loop().time() < end, f"{what} did not come: {self.link.orders}"
            await asyncio.sleep(0.005)

    async def turned(self) -> None:
        """Whatever was put before has been taken."""
        done = asyncio.Event()
        self.agent._put(done.set)
        await asyncio.wait_for(done.wait(), DEADLINE)

    async def ended(self) -> EndReason:
        return await asyncio.wait_for(self.run, DEADLINE)

    async def close(self) -> None:
        """Cancelled again where need be: `asyncio.wait_for` of Python 3.11 drops one that comes with a result."""
        while not self.run.done():
            self.run.cancel()
            await asyncio.wait([self.run], timeout=DEADLINE)
        await asyncio.gather(self.run, return_exceptions=True)
        self.instance.close()


def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop's outer parts are replaced; this process stays as it is."""
    monkeypatch.setattr(parts, "Link", FakeLink)
    monkeypatch.setattr(parts, "Sessions", FakeSessions)
    monkeypatch.setattr(loop, "become_subreaper", lambda: None)
    monkeypatch.setattr(loop, "reap_strays", lambda keepers: None)


def command(n: int = 1) -> Command:
    return Command(n=n, name="shell", args={}, digest=f"d{n}")


#: Makes agents that run, each with the settings given.
Begin = Callable[..., Stage]
