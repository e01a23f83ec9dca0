"""What an agent remembers of catalogues, and what each costs it: anything can be said in a master's name."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from contracts.messages import Capability
from contracts.requirements.sets import Requirements
from contracts.topology import cap_queue
from tests.unit.agent_edge.test_queues import Agent, Broker, running, settled
from worker_agent.agent import told
from worker_agent.agent.told import ToldSignatures
from worker_agent.state_files import write_atomically

#: Texts that are no signatures.
UNREADABLE = ("vÉÏ", "ø", "=3", "gtk >= 3")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each signature was read."""
    counted: Counter[str] = Counter()
    read = Requirements.from_signature

    def counting(signature: str) -> Requirements:
        counted[signature] += 1
        return read(signature)

    monkeypatch.setattr(Requirements, "from_signature", counting)
    return counted


def knowing(*able: str) -> ToldSignatures:
    capabilities = tuple(Capability(name=name) for name in able)
    return ToldSignatures(lambda: capabilities)


async def test_a_catalogue_costs_what_it_says(tmp_path: Path, reads: Counter[str]) -> None:
    """Of 200 catalogues of 20 masters, each with other signatures: each is read once, however many came before."""
    agent = Agent(tmp_path, Broker("gtk"), "gtk")
    async with running(agent):
        agent.knowledge.link_up()
        for number in range(200):
            signatures = ("gtk", f"wx{number}x", f"gtk>={number}", f"ø{number}")
            for _ in range(3):  # it says so every 5 s
                agent.hears(*signatures, master=f"m{number % 20}")
        await settled(agent)
    assert agent.told == {"cap.gtk"}
    assert reads.pop("gtk") == 200
    assert len(reads) == 600
    # a second time where a catalogue no longer says it and its queue may be there
    assert max(reads.values()) <= 2


async def test_a_signature_that_cannot_be_read_is_one_line_in_the_log(tmp_path: Path) -> None:
    """Whoever tells it, however often; and other masters' news are no reason to tell it again."""
    agent = Agent(tmp_path, Broker("gtk"), "gtk")
    with capture_logs() as lines:
        async with running(agent):
            agent.knowledge.link_up()
            for number in range(50):
                agent.hears("gtk", *UNREADABLE, f"s{number}", master=f"m{number % 5}")
            agent.knowledge.capabilities_changed()
            await settled(agent)
    named = Counter(line["signature"] for line in lines if line["event"] == "signature_unreadable")
    assert named == dict.fromkeys(UNREADABLE, 1)


def test_signatures_without_end_are_not_named_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "UNREADABLE_NAMED_MAX", 10)
    knowledge = knowing()
    with capture_logs() as lines:
        for number in range(30):
            knowledge.tell("m", [f"ø{number}"])
    assert len(lines) == 10


@pytest.mark.parametrize("text", ["", "[]", '{"m": 3}', "[" * 100_000])
def test_a_cache_that_cannot_be_read_is_one_line_in_the_log(tmp_path: Path, text: str) -> None:
    (tmp_path / "cache.json").write_text(text)
    knowledge = knowing()
    with capture_logs() as lines:
        knowledge.read(tmp_path / "cache.json")
    assert [line["event"] for line in lines] == ["catalogue_cache_unreadable"]


def test_the_masters_without_a_queue_here_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up ones push out made-up ones, and none that this agent works for, however long ago it told anything new."""
    monkeypatch.setattr(told, "MASTERS_MAX", 10)
    knowledge, mine = knowing("gtk"), {cap_queue("gtk")}
    knowledge.tell("real", ["gtk", "wx"], mine)
    for number in range(50):
        knowledge.tell(f"made-up-{number}", [f"s{number}"], mine)
    assert "real" in knowledge
    assert [f"made-up-{number}" in knowledge for number in range(50)] == [False] * 41 + [True] * 9
    assert knowledge.all() == mine


def test_signatures_of_all_masters_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large catalogue pushes out others', the one that tells it stays."""
    monkeypatch.setattr(told, "SIGNATURES_MAX", 100)
    knowledge, mine = knowing("gtk"), {cap_queue("gtk")}
    knowledge.tell("real", ["gtk"], mine)
    for number in range(5):
        knowledge.tell(f"large-{number}", [f"s{number}-{each}x" for each in range(40)], mine)
    assert [f"large-{number}" in knowledge for number in range(5)] == [False, False, False, True, True]
    knowledge.tell("huge", [f"h{each}x" for each in range(1000)], mine)
    assert "huge" in knowledge
    assert knowledge.all() == frozenset()


def test_former_signatures_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one whose queue is there is kept: there may be work in it."""
    monkeypatch.setattr(told, "FORMER_MAX", 10)
    knowledge, mine = knowing(*(f"s{number}x" for number in range(50))), {cap_queue("s0x")}
    for number in range(50):
        knowledge.tell("m", [f"s{number}x"], mine)
    assert knowledge.former() == {cap_queue(f"s{number}x") for number in (0, *range(40, 49))}
    knowledge.missing(knowledge.former())
    assert knowledge.former() == frozenset()


async def test_a_burst_of_catalogues_is_written_down_once_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first at once, the rest together, at the latest when the agent ends."""
    written: list[object] = []

    def counting(path: Path, text: str) -> None:
        written.append(json.loads(text))
        write_atomically(path, text)

    monkeypatch.setattr(told, "write_atomically", counting)
    monkeypatch.setattr("worker_agent.agent.queues.WRITTEN_EVERY", 3600.0)
    agent = Agent(tmp_path, Broker())
    async with running(agent):
        agent.knowledge.link_up()
        agent.hears("gtk", master="m0")
        assert written == [{"m0": ["gtk"]}]
        for number in range(1, 20):
            agent.hears("gtk", master=f"m{number}")
            await asyncio.sleep(0)
        assert len(written) == 1
    assert written[1:] == [{f"m{number}": ["gtk"] for number in range(20)}]


async def test_what_waits_to_be_written_is_written_though_nothing_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker_agent.agent.queues.WRITTEN_EVERY", 0.05)
    agent = Agent(tmp_path, Broker())
    async with running(agent):
        agent.knowledge.link_up()
        for number in range(3):
            agent.hears("gtk", master=f"m{number}")
        deadline = asyncio.get_running_loop().time() + 30
        while len(json.loads((tmp_path / "catalogue.json").read_text())) < 3:
            assert asyncio.get_running_loop().time() < deadline, "all three are written"
            await asyncio.sleep(0.01)
