"""A slot looks for its next build once, when its agent has been given back, among the builders for which a request
waits; no build waits because of that."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from buildbot.config import BuilderConfig
from buildbot.locks import MasterLock, WorkerLock
from buildbot.process.factory import BuildFactory
from buildbot.steps.shell import ShellCommand
from buildbot.worker.latent import States
from twisted.internet import defer

from master_bridge.buildbot.internals import waiting_builders
from master_bridge.buildbot.worker import AMQPLatentWorker
from tests.buildbot.inside.master import InsideMaster

pytestmark = pytest.mark.timeout(1800)

BUILDERS = ("a", "b", "c")
#: Seconds (of the test's clock) within which a slot's next build begins: each call of the database takes 0.01.
SOON = 1.0


def config(slots: int = 1, **kwargs: Any) -> dict[str, Any]:
    names = [f"s{number}" for number in range(slots)]
    return {
        "workers": [AMQPLatentWorker(name) for name in names],
        "builders": [
            BuilderConfig(
                name=name,
                workernames=names,
                factory=BuildFactory([ShellCommand(command=["true"], name="one")]),
                **kwargs,
            )
            for name in BUILDERS
        ],
    }


class Times:
    """When builds begin and end in slots."""

    def __init__(self, inside: InsideMaster, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[tuple[str, float]] = []
        for what, name in (("begin", "buildStarted"), ("end", "buildFinished")):
            monkeypatch.setattr(AMQPLatentWorker, name, self._noted(inside, what, getattr(AMQPLatentWorker, name)))

    def _noted(self, inside: InsideMaster, what: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def noted(worker: AMQPLatentWorker, pair: Any) -> Any:
            self.seen.append((what, inside.reactor.seconds()))
            return method(worker, pair)

        return noted

    def longest_pause(self) -> float:
        """Seconds from a build's end to the next one's begin, with one slot."""
        pauses = [after - before for (what, before), (_, after) in pairwise(self.seen) if what == "end"]
        assert len(pauses) > 1
        return max(pauses)


def test_one_look_for_each_end(inside: InsideMaster, monkeypatch: pytest.MonkeyPatch) -> None:
    """All builders of a slot are looked through in each."""
    inside.start(config())
    distributor = inside.master.botmaster.brd
    looks: list[int] = []
    look = distributor.maybeStartBuildsOn
    monkeypatch.setattr(distributor, "maybeStartBuildsOn", lambda names: looks.append(len(names)) or look(names))
    for builder in BUILDERS:
        looks.clear()
        assert inside.finished(inside.force(builder)) == ["SUCCESS"]
        worker = inside.master.workers.workers["s0"]
        inside.until(lambda worker=worker: worker.state == States.NOT_SUBSTANTIATED, "its agent is given back")
        assert looks.count(len(BUILDERS)) == 1


@pytest.mark.parametrize(
    "limits",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"locks": [MasterLock("m").access("exclusive")]}, id="lock of the master"),
        pytest.param({"locks": [WorkerLock("w").access("exclusive")]}, id="lock of the worker"),
        pytest.param({"canStartBuild": lambda builder, pair, request: not builder.building}, id="canStartBuild"),
    ],
)
def test_queued_builds_follow_at_once(
    inside: InsideMaster, monkeypatch: pytest.MonkeyPatch, limits: dict[str, Any]
) -> None:
    times = Times(inside, monkeypatch)
    inside.start(config(**limits))
    requests = [inside.force(builder) for _ in range(2) for builder in BUILDERS]
    for request in requests:
        assert inside.finished(request) == ["SUCCESS"]
    assert times.longest_pause() < SOON


def test_builders_without_a_request_are_not_looked_at(inside: InsideMaster, monkeypatch: pytest.MonkeyPatch) -> None:
    """One call of the database says which have one, however many there are; a single builder is looked at as ever."""
    inside.start(config())
    requests, looked = inside.master.db.buildrequests, list[int]()
    usual = requests.getBuildRequests
    monkeypatch.setattr(
        requests, "getBuildRequests", lambda *args, **kw: looked.append(kw["builderid"]) or usual(*args, **kw)
    )
    first, second = (inside.force(name) for name in ("a", "b"))
    inside.finished(first)
    assert inside.finished(second) == ["SUCCESS"]
    ids = {row["name"]: row["builderid"] for row in inside.get("builders")}
    assert {ids["a"], ids["b"]} <= set(looked)
    assert ids["c"] not in looked
    looked.clear()
    inside.master.botmaster.maybeStartBuildsForAllBuilders()
    inside.turn(1.0)
    assert looked == []
    inside.master.botmaster.maybeStartBuildsForBuilder("c")
    inside.turn(1.0)
    assert looked == [ids["c"]]


def test_requests_that_come_while_it_is_asked_who_waits(inside: InsideMaster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is an old one by then."""
    inside.start(config(slots=3))
    pool, requests = inside.master.db.pool, list[int]()
    do = pool.do

    def late(work: Any, *args: Any, **kw: Any) -> Any:
        result = do(work, *args, **kw)
        if work is waiting_builders._waiting and len(requests) < 3:
            requests.append(inside.force("abc"[len(requests)]))
        return result

    monkeypatch.setattr(pool, "do", late)
    for _ in range(3):
        inside.master.botmaster.maybeStartBuildsForAllBuilders()
        inside.turn(1.0)
    assert len(requests) == 3
    assert [inside.finished(request) for request in requests] == 3 * [["SUCCESS"]]


@pytest.mark.parametrize("what", ["who waits", "which builder it is"])
def test_all_builders_are_looked_at_where_the_database_does_not_say(
    inside: InsideMaster, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """One failed call costs no request its look."""
    inside.start(config())
    requests = [inside.force(name) for name in ("a", "b")]
    pool, failed = inside.master.db.pool, list[None]()
    do = pool.do

    def fail(*_: Any) -> Any:
        failed.append(None)
        return defer.fail(RuntimeError("the database's server is away"))

    if what == "who waits":
        monkeypatch.setattr(
            pool, "do", lambda work, *args, **kw: (fail if work is waiting_builders._waiting else do)(work, *args, **kw)
        )
    else:
        monkeypatch.setattr(inside.master.botmaster.builders["c"], "getBuilderId", fail)
    assert [inside.finished(request) for request in requests] == 2 * [["SUCCESS"]]
    assert failed
    monkeypatch.undo()


def test_builders_that_were_left_over_are_looked_at_with_whichever_comes_next(
    inside: InsideMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Buildbot leaves them where a stop is taken back."""
    inside.start(config())
    distributor = inside.master.botmaster.brd
    with monkeypatch.context() as stopped:
        stopped.setattr(distributor, "maybeStartBuildsOn", lambda names: None)
        request = inside.force("a")
        inside.turn(1.0)
    distributor._pending_builders = ["a"]
    distributor.maybeStartBuildsOn(["b", "c"])
    assert inside.finished(request) == ["SUCCESS"]


def test_a_function_that_puts_builders_in_order_gets_all_of_them(inside: InsideMaster) -> None:
    got: list[set[str]] = []

    def prioritize(master: Any, builders: list[Any]) -> list[Any]:
        got.append({builder.name for builder in builders})
        return builders

    inside.start({**config(), "prioritizeBuilders": prioritize})
    assert inside.finished(inside.force("a")) == ["SUCCESS"]
    assert set(BUILDERS) in got


def test_a_build_of_another_slot_waits_for_a_lock(inside: InsideMaster) -> None:
    """A lock that a build gives back lets builds of all slots go on."""
    inside.start(config(slots=3, locks=[MasterLock("m").access("exclusive")]))
    for request in [inside.force(builder) for _ in range(2) for builder in BUILDERS]:
        assert inside.finished(request) == ["SUCCESS"]


@pytest.mark.parametrize("first", [1, *(pytest.param(number, marks=pytest.mark.long) for number in range(2, 8))])
def test_an_agent_lost_while_others_wait(inside: InsideMaster, monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    """At each seventh await of the first build: it is repeated, and the one of another builder has its turn at once."""
    times = Times(inside, monkeypatch)
    inside.start(config())
    for number in range(first, 60, 7):
        inside.awaits.clear()
        inside.at_await = lambda at, name, number=number: inside.agents.lose() if at == number else None
        requests = [inside.force(builder) for builder in ("a", "b")]
        for request in requests:
            results = inside.finished(request)
            assert results[-1] == "SUCCESS", f"{number}: {results}"
            assert set(results[:-1]) <= {"RETRY"}, f"{number}: {results}"
        inside.at_await = None
    assert times.longest_pause() < SOON
