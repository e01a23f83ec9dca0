"""The doubles that users import: columns against fleets, a master and a worker on the broker in memory."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from contracts.errors import BadRequirement
from contracts.messages import Claim, Gone, Resume
from contracts.requirements.sets import Requirements
from contracts.testing.clock import VirtualClock
from contracts.testing.columns import assert_served, capabilities, column, columns_of
from contracts.testing.doubles import MasterDouble, WorkerDouble
from contracts.testing.memory_broker.broker import MemoryBroker

GUIDE = Path(__file__).parents[3] / "docs/how-to/test-doubles.md"
FLEET = {"old": ["gtk=2.24", "python=2.3.7"], "new": ["gtk=3.24", "python=3.11"], "bare": ["make"]}


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker(VirtualClock())


def test_a_column_is_served_by_those_who_qualify_and_says_what_the_others_lack() -> None:
    """Versions count; a nearest miss names what is there."""
    found = column(["gtk>=3"], FLEET, builders=["linux-gtk"])
    assert found.served_by == ("new",)
    assert set(found.misses) == {"old", "bare"}
    assert "2.24" in " ".join(found.misses["old"])
    assert "linux-gtk" in str(found)


def test_a_column_that_nobody_serves_fails_the_test_with_a_reason() -> None:
    """So that a master.cfg that waits for ever is found before it is deployed."""
    served, unserved = column(["gtk"], FLEET), column(["gtk>=4"], FLEET)
    assert_served([served])
    with pytest.raises(AssertionError, match=r"gtk>=4.*nobody qualifies"):
        assert_served([served, unserved])
    with pytest.raises(AssertionError, match="fewer than 3"):
        assert_served([served], at_least=3)


def test_a_bad_requirement_is_an_error_not_an_empty_column() -> None:
    with pytest.raises(BadRequirement):
        column(["gtk>>3"], FLEET)


def test_the_columns_of_a_configuration_are_found() -> None:
    """AMQP workers by what they ask for, with their builders; other workers are left out."""
    gtk, any_ = Requirements.of(["gtk>=3"]).signature, Requirements.of([]).signature
    config = {
        "workers": [
            SimpleNamespace(name="gtk-1", signature=gtk),
            SimpleNamespace(name="gtk-2", signature=gtk),
            SimpleNamespace(name="any-1", signature=any_),
            SimpleNamespace(name="classic"),
        ],
        "builders": [
            SimpleNamespace(name="a", workernames=["gtk-1", "gtk-2"]),
            SimpleNamespace(name="b", workernames=["any-1", "classic"]),
        ],
    }
    found = {found.signature: found for found in columns_of(config, FLEET)}
    assert set(found) == {gtk, any_}
    assert (found[gtk].builders, found[gtk].served_by) == (("a",), ("new",))
    assert found[any_].served_by == ("bare", "new", "old")


def test_an_offer_reaches_the_worker_that_qualifies_and_no_other(broker: MemoryBroker) -> None:
    """Through the queue of its signature, as on a real broker."""
    master = MasterDouble(broker)
    master.column("gtk>=3")
    old, new = WorkerDouble(broker, "old", "gtk=2.24"), WorkerDouble(broker, "new", "gtk=3.24")
    assert (old.serve(), new.serve()) == ((), ("cap.gtk:ge:3",))
    claim = master.claimed(master.offer("gtk>=3"))
    assert claim.agent == "new"
    assert claim.capabilities == capabilities("gtk=3.24")
    assert old.offer is None


def test_a_build_runs_by_the_script_and_its_offer_is_acknowledged(broker: MemoryBroker) -> None:
    """Claim, grant, accept, commands, release: then the next one is taken."""
    master = MasterDouble(broker)
    worker = WorkerDouble(
        broker, "w", "make", script=lambda command: [("stdout", None, b"ok\n"), ("update", ["rc", 0], b"")]
    )
    master.column("make")
    worker.serve()
    for number in (1, 2):
        claim = master.claimed(master.offer("make"))
        master.grant(claim)
        events = master.run(claim, 1, "shell", {"command": ["make"]})
        assert [event.kind for event in events] == ["started", "stdout", "update", "completed"]
        assert [event.seq for event in events] == [1, 2, 3, 4]
        master.release(claim)
        broker.clock.run_until(broker.clock.now + 1)
        assert len(worker.ran) == number
        assert worker.offer is None


def test_a_refused_claim_is_acknowledged(broker: MemoryBroker) -> None:
    master, worker = MasterDouble(broker), WorkerDouble(broker, "w")
    master.column()
    worker.serve()
    claim = master.claimed(master.offer())
    master.refuse(claim)
    broker.clock.run_until(broker.clock.now + 60)
    assert worker.offer is None
    assert master.all(Claim) == [claim]


def test_after_a_restart_of_the_master_the_worker_answers_from_its_journal(broker: MemoryBroker) -> None:
    """The same command is not run again; another one under its number ends the session."""
    master, worker = MasterDouble(broker), WorkerDouble(broker, "w")
    master.column()
    worker.serve()
    claim = master.claimed(master.offer())
    master.grant(claim)
    master.run(claim, 1, "shell", {"command": "make"})
    master.restart()
    resume = master.wait_for(Resume)
    assert [(command.n, command.completed) for command in resume.commands] == [(1, True)]
    master.received.clear()
    master.grant(resume)
    again = master.run(resume, 1, "shell", {"command": "make"})
    assert [event.seq for event in again] == [1, 2, 3]
    assert len(worker.ran) == 1
    master.received.clear()
    with pytest.raises(AssertionError, match="no Event"):
        master.run(resume, 1, "shell", {"command": "make install"})
    assert master.all(Gone)[0].reason == "diverged"


def test_what_does_not_come_fails_with_the_name_of_what_was_missed(broker: MemoryBroker) -> None:
    """And in no real time."""
    master = MasterDouble(broker)
    with pytest.raises(AssertionError, match="no Claim within 60 s"):
        master.claimed(master.offer("gtk"))


def test_the_examples_of_the_guide_run() -> None:
    """Every block of Python in docs/how-to/test-doubles.md, as it stands."""
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 3
    for block in blocks:
        names: dict[str, object] = {}
        exec(compile(block, str(GUIDE), "exec"), names)
        tests = [value for name, value in names.items() if name.startswith("test_")]
        assert tests, f"a block without a test:\n{block}"
        for test in tests:
            test()  # type: ignore[operator]
