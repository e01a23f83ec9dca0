"""Which queues an agent asks the broker for, and how seldom it asks in vain. The broker is a set here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from contracts.messages import Capability, Catalogue
from contracts.topology import cap_queue
from worker_agent.agent import queues
from worker_agent.agent.queues import MISSES, MISSES_WITHIN, Misses, QueueKnowledge


class Broker:
    """Queues that exist; what was asked of it, in order."""

    def __init__(self, *there: str) -> None:
        self.there = {cap_queue(signature) for signature in there}
        self.asked: list[str] = []
        self.up = True

    @property
    def missed(self) -> list[str]:
        return [queue for queue in self.asked if queue not in self.there]

    async def existing(self, names: Iterable[str], misses: int | None) -> dict[str, bool] | None:
        await asyncio.sleep(0)
        if not self.up:
            return None
        answers: dict[str, bool] = {}
        for name in names:
            if misses is not None and sum(not there for there in answers.values()) >= misses:
                break
            self.asked.append(name)
            answers[name] = name in self.there
        return answers


class Agent:
    """The knowledge of one, with what it told last."""

    def __init__(self, folder: Path, broker: Broker, *able: str, named: tuple[str, ...] = ()) -> None:
        self.able = {Capability(name=name) for name in (*able, *named)}
        self.told: frozenset[str] = frozenset()
        self.knowledge = QueueKnowledge(
            folder / "catalogue.json",
            capabilities=lambda: tuple(self.able),
            plain=lambda: tuple(Capability(name=name) for name in named),
            existing=broker.existing,
            changed=self._changed,
        )

    def _changed(self, known: frozenset[str]) -> None:
        self.told = known

    def hears(self, *signatures: str, master: str = "m", incarnation: str = "i", made: float = 0.0) -> None:
        self.knowledge.catalogue(Catalogue(master=master, incarnation=incarnation, signatures=signatures, made=made))

    def links_anew(self) -> None:
        self.knowledge.link_down()
        self.knowledge.link_up()


@asynccontextmanager
async def running(agent: Agent) -> AsyncIterator[None]:
    task = asyncio.create_task(agent.knowledge.run())
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], object], what: str) -> None:
    deadline = asyncio.get_running_loop().time() + 30
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"waited for: {what}"
        await asyncio.sleep(0.005)


async def settled(agent: Agent) -> None:
    """Until it waits for something to happen, or for minutes."""

    def waits() -> bool:
        patience = agent.knowledge._patience()
        return not agent.knowledge._wake.is_set() and (patience is None or patience > 10)

    await until(waits, "no question is left")


async def test_many_abilities_and_no_master_are_a_handful_of_questions(tmp_path: Path) -> None:
    """260 capabilities, an empty vhost: what is asked in vain in the first hour can be counted on one hand."""
    broker = Broker()
    names = tuple(f"tool{number}" for number in range(130))
    agent = Agent(tmp_path, broker, *(f"found{number}" for number in range(130)), named=names)
    async with running(agent):
        agent.knowledge.link_up()
        await settled(agent)
        for _ in range(20):  # and so is a link that flaps
            agent.links_anew()
        await settled(agent)
    assert len(broker.missed) == MISSES
    assert broker.asked[0] == "cap.any"


async def test_a_vhost_made_anew_is_a_handful_of_questions(tmp_path: Path) -> None:
    """All queues of 200 columns are gone with it: no more than `MISSES` are asked for until their master is back."""
    signatures = [f"s{number}" for number in range(200)]
    broker = Broker(*signatures)
    agent = Agent(tmp_path, broker, *signatures)
    async with running(agent):
        agent.knowledge.link_up()
        agent.hears(*signatures)
        await until(lambda: len(agent.told) == 200, "all queues are consumed")
        broker.there.clear()
        broker.asked.clear()
        agent.links_anew()
        await settled(agent)
        assert len(broker.missed) == MISSES
        assert agent.told == frozenset()
        broker.there |= {cap_queue(signature) for signature in signatures}
        agent.hears(*signatures)  # the very catalogue that it knows
        await until(lambda: len(agent.told) == 200, "all queues are consumed again")


async def test_what_was_consumed_is_consumed_after_a_cut(tmp_path: Path) -> None:
    """No master speaks: what is there is found though it takes more questions than there are misses."""
    signatures = [f"s{number}" for number in range(50)]
    broker = Broker(*signatures)
    agent = Agent(tmp_path, broker, *signatures)
    async with running(agent):
        agent.knowledge.link_up()
        agent.hears(*signatures)
        await until(lambda: len(agent.told) == 50, "all queues are consumed")
        agent.links_anew()
        assert agent.told == frozenset(), "nothing is consumed before it is known to be there"
        await until(lambda: len(agent.told) == 50, "all queues are consumed again")
    again = Agent(tmp_path, broker, *signatures)
    async with running(again):
        again.knowledge.link_up()
        await until(lambda: len(again.told) == 50, "the next process consumes them from what the first wrote down")
    assert set(broker.missed) <= {"cap.any"}


async def test_the_plain_queues_of_what_a_person_named_are_tried(tmp_path: Path) -> None:
    """`cap.any`, then the names, then their series."""
    broker = Broker("gtk")
    agent = Agent(tmp_path, broker, "python", named=("gtk", "wx"))
    async with running(agent):
        agent.knowledge.link_up()
        await until(lambda: agent.told == {"cap.gtk"}, "cap.gtk is consumed")
        await settled(agent)
    assert broker.asked == ["cap.any", "cap.gtk", "cap.wx"]


@pytest.mark.parametrize("news", ["made", "incarnation", "signatures"])
async def test_a_queue_that_a_master_makes_anew_is_asked_for_at_once(tmp_path: Path, news: str) -> None:
    """Whatever is new in its catalogue; the same catalogue each 5 s is no news, and asks nothing."""
    broker = Broker("any")
    agent = Agent(tmp_path, broker, "gtk")
    async with running(agent):
        agent.knowledge.link_up()
        agent.hears("any", "gtk")
        await until(lambda: agent.told == {"cap.any"} and broker.missed, "one of two is there")
        agent.knowledge._missing_pause = 1000.0  # as after some tries
        agent.knowledge._note({"cap.gtk": False})
        broker.asked.clear()
        for _ in range(5):
            agent.hears("any", "gtk")
        await settled(agent)
        assert broker.asked == []
        broker.there.add("cap.gtk")
        changed = {"made": {"made": 5.0}, "incarnation": {"incarnation": "j"}, "signatures": {}}[news]
        agent.hears("any", "gtk", *(["wx"] if news == "signatures" else []), **changed)  # type: ignore[arg-type]
        await until(lambda: agent.told == {"cap.any", "cap.gtk"}, "both are consumed")


async def test_a_told_queue_that_is_missing_is_asked_for_soon_then_seldom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each pause is twice the one before, and no round asks for more than a few."""
    monkeypatch.setattr(queues, "MISSING_FIRST", 0.01)
    broker = Broker()
    signatures = [f"s{number}" for number in range(40)]
    agent = Agent(tmp_path, broker, *signatures)
    async with running(agent):
        agent.knowledge.link_up()
        agent.hears(*signatures)
        await until(lambda: agent.knowledge._missing_pause >= 0.3, "five rounds")
        assert 40 < len(broker.missed) <= 40 + 6 * MISSES
        broker.there.add("cap.s7")
        agent.knowledge._missing_pause = 0.01
        agent.knowledge.gone("cap.s7")
        await until(lambda: agent.told == {"cap.s7"}, "it is found without news, too")


async def test_a_master_without_a_catalogue_has_its_plain_queues_tried_once(tmp_path: Path) -> None:
    """`alive` of one that was not heard before: the misses of the past do not count."""
    broker = Broker()
    agent = Agent(tmp_path, broker, named=("gtk", "p", "q", "r", "s", "t"))
    async with running(agent):
        agent.knowledge.link_up()
        await settled(agent)
        assert len(broker.missed) == MISSES
        broker.there.add("cap.gtk")
        for _ in range(3):
            agent.knowledge.master_speaks("m", "i")
        await until(lambda: agent.told == {"cap.gtk"}, "cap.gtk is consumed")
        await settled(agent)
        asked = len(broker.asked)
        agent.knowledge.master_speaks("m", "i")
        await settled(agent)
        assert len(broker.asked) == asked


async def test_what_it_cannot_do_any_more_is_dropped_before_the_broker_is_asked(tmp_path: Path) -> None:
    """A capability goes: its queue is gone from the set at once. One comes: the broker is asked first."""
    broker = Broker("gtk", "wx")
    agent = Agent(tmp_path, broker, "gtk")
    async with running(agent):
        agent.knowledge.link_up()
        agent.hears("gtk", "wx")
        await until(lambda: agent.told == {"cap.gtk"}, "cap.gtk is consumed")
        agent.able = {Capability(name="wx")}
        agent.knowledge.capabilities_changed()
        assert agent.told == frozenset()
        await until(lambda: agent.told == {"cap.wx"}, "cap.wx is consumed")


async def test_a_removed_column_is_consumed_while_its_queue_lives(tmp_path: Path) -> None:
    """A catalogue without it is no reason; the queue's end is, and then nobody asks for it again."""
    broker = Broker("gtk", "wx")
    agent = Agent(tmp_path, broker, "gtk", "wx")
    async with running(agent):
        agent.knowledge.link_up()
        agent.hears("gtk", "wx")
        await until(lambda: agent.told == {"cap.gtk", "cap.wx"}, "both are consumed")
        agent.hears("gtk")
        await settled(agent)
        assert agent.told == {"cap.gtk", "cap.wx"}
        broker.there.remove("cap.wx")
        agent.knowledge.gone("cap.wx")
        broker.asked.clear()
        await settled(agent)
        assert agent.told == {"cap.gtk"}
        assert broker.asked == []


async def test_a_link_that_is_down_is_asked_nothing(tmp_path: Path) -> None:
    """The questions wait for the next link, and nothing turns in a circle meanwhile."""
    broker = Broker("any")
    agent = Agent(tmp_path, broker)
    async with running(agent):
        broker.up = False
        agent.knowledge.link_up()
        await settled(agent)
        assert broker.asked == []
        broker.up = True
        agent.links_anew()
        await until(lambda: agent.told == {"cap.any"}, "cap.any is consumed")


def test_misses_come_back_after_their_time() -> None:
    """Five within an hour, whichever."""
    misses = Misses()
    misses.count(2, 0.0)
    misses.count(3, 100.0)
    assert (misses.left(200.0), misses.next_at(200.0)) == (0, MISSES_WITHIN)
    assert misses.left(MISSES_WITHIN) == 2
    misses.forgive()
    assert misses.left(200.0) == MISSES
