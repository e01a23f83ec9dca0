"""An agent that is told to move: the new place is tried before the old one is left, and both are remembered."""

from __future__ import annotations

import asyncio
import itertools
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from contracts.messages import Move
from contracts.trust.moving import Destination, seal_move
from worker_agent.agent.moving import MovedFile, Moving, ways
from worker_agent.core.inputs import Input, LinkDown, LinkUp
from worker_agent.link import link as link_module
from worker_agent.link.errors import LinkError
from worker_agent.link.link import Link
from worker_agent.link.options import LinkOptions, TLSFiles
from worker_agent.link.port import LinkListener, OpenLink

OLD, NEW = "amqp://a1:one@old/", "amps://a1:two@new:9990?fingerprint=sha256:" + "ab" * 32
CONFIGURED = LinkOptions(url=OLD, name="a1", reconnect_max=0.01, tls=TLSFiles(certificate="cert"))


class Place:
    """An `OpenLink` that opens where somebody lets it in."""

    product = "a place"
    opened_at = 0.0

    def __init__(self, world: World, options: LinkOptions, address: str) -> None:
        self.address = address
        self.options = options
        self._world = world
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def open(self) -> None:
        self._world.tried.append(self.options.where)
        if self.options.url not in self._world.there:
            raise LinkError(f"{self.options.where} is not there")
        self._world.open.append(self)

    async def close(self) -> None:
        if self in self._world.open:
            self._world.open.remove(self)


class World:
    """Which URLs let agents in, and one agent's link."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, state: Path, *there: str, patience: float = 0.0) -> None:
        self.there = set(there)
        self.tried: list[str] = []
        self.open: list[Place] = []
        self.inputs: list[Input] = []
        monkeypatch.setattr(Link, "_make", self._make)
        monkeypatch.setattr(link_module, "SETTLED", 0.0)
        monkeypatch.setattr(link_module, "COME_BACK_EVERY", 0.01)
        monkeypatch.setattr(link_module, "PATIENCE", patience)
        self.link = Link(
            ways(CONFIGURED, state), instance="i", agent="a1", next_epoch=itertools.count(1).__next__,
            listener=LinkListener(
                on_input=self.inputs.append, queue_gone=lambda _: None, sent_to_dead=lambda: None, asked=lambda: None
            ),
        )  # fmt: skip
        self.moving = Moving(state, CONFIGURED, self.link, "i")
        self.key = self.moving.public_key() or ""
        self.task = asyncio.create_task(self.link.run())

    def _make(self, options: LinkOptions, address: str) -> OpenLink:
        return Place(self, options, address)  # type: ignore[return-value]

    async def until(self, condition: Callable[[], bool]) -> None:
        deadline = asyncio.get_running_loop().time() + 30
        while not condition():
            assert asyncio.get_running_loop().time() < deadline, (self.tried, self.open, self.inputs)
            await asyncio.sleep(0.005)

    async def at(self, url: str) -> None:
        await self.until(lambda: [each.options.url for each in self.open] == [url] and self.link.up)

    def order(self, url: str, **changes: object) -> None:
        destination = Destination(url=SecretStr(url), tls_ca=None)
        sealed = seal_move(destination, key=self.key, address=self.link.address, instance="i", random=os.urandom)
        self.moving.ordered(Move.model_validate(sealed.model_dump() | changes))

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
        assert self.open == [], "something was left open"


async def test_the_new_place_is_entered_before_the_old_one_is_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = World(monkeypatch, tmp_path, OLD, NEW)
    await world.at(OLD)
    world.order(NEW)
    await world.at(NEW)
    assert [type(each) for each in world.inputs] == [LinkUp, LinkDown, LinkUp]
    epochs = [each.epoch for each in world.inputs if isinstance(each, LinkUp)]
    assert epochs == sorted(set(epochs))
    assert world.link.options.tls == TLSFiles(certificate="cert"), "its own certificate is its own there, too"
    assert world.link.options.trust is CONFIGURED.trust
    assert stat.S_IMODE((tmp_path / "moved.json").stat().st_mode) == 0o600
    assert [each.url for each in ways(CONFIGURED, tmp_path)] == [NEW, OLD]
    world.order(OLD)
    await world.at(OLD)
    assert not (tmp_path / "moved.json").exists(), "it is where its configuration says"
    await world.end()


@pytest.mark.parametrize(
    ("url", "changes"),
    [
        (NEW, {}),  # nobody is there
        (NEW.replace("a1", "a2"), {}),
        (NEW, {"instance": "another"}),
        (NEW, {"sealed": "00" * 20}),
        ("amqp://a1:x@h/%zz", {}),
    ],
)
async def test_who_cannot_go_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, changes: dict[str, object]
) -> None:
    world = World(monkeypatch, tmp_path, OLD, NEW.replace("a1", "a2"))
    await world.at(OLD)
    world.order(url, **changes)
    await world.until(lambda: world.link._moving is None or world.link._moving.done())
    assert [type(each) for each in world.inputs] == [LinkUp]
    assert not (tmp_path / "moved.json").exists()
    await world.end()


async def test_where_the_new_place_is_gone_the_old_one_will_do_until_it_is_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    MovedFile.of(tmp_path).write(Destination(url=SecretStr(NEW)), OLD)
    world = World(monkeypatch, tmp_path, OLD)
    await world.at(OLD)
    assert world.tried[0] == "amps://new:9990"
    world.there.add(NEW)
    await world.at(NEW)
    world.there.remove(NEW)
    world.open[0].lost.set_result("cut")
    await world.at(OLD)
    await world.end()


async def test_a_short_loss_leads_nowhere_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The place that was left lets agents in, and has no master any more: what they run would be given up."""
    world = World(monkeypatch, tmp_path, OLD, NEW, patience=3600.0)
    await world.at(OLD)
    world.order(NEW)
    await world.at(NEW)
    world.there.remove(NEW)
    tried = len(world.tried)
    world.open[0].lost.set_result("cut")
    await world.until(lambda: len(world.tried) > tried + 20)
    assert set(world.tried[tried:]) == {"amps://new:9990"}
    world.there.add(NEW)
    await world.at(NEW)
    await world.end()


async def test_what_is_configured_newly_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    MovedFile.of(tmp_path).write(Destination(url=SecretStr(NEW)), "amqp://a1:zero@older/")
    world = World(monkeypatch, tmp_path, OLD, NEW)
    await world.at(OLD)
    assert not (tmp_path / "moved.json").exists()
    await world.end()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "[" * 100_000, '{"url": 1}', '{"url": "amqp://h:x/", "instead_of": "a"}']
)
def test_a_file_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "moved.json").write_text(text)
    assert ways(CONFIGURED, tmp_path) == (CONFIGURED,)


async def test_the_last_of_two_orders_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = "amqp://a1:three@other/"
    world = World(monkeypatch, tmp_path, OLD, NEW, other)
    await world.at(OLD)
    world.order(NEW)
    world.order(other)
    await world.at(other)
    await world.end()
