"""What happens while Buildbot waits for its database, at each of the places at which it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Any

import pytest
from buildbot.config import BuilderConfig
from buildbot.locks import MasterLock
from buildbot.process.factory import BuildFactory
from buildbot.process.results import statusToString
from buildbot.steps.shell import ShellCommand
from twisted.internet import defer, reactor

from master_bridge.buildbot.worker import AMQPLatentWorker
from tests.buildbot.inside.master import InsideMaster

#: Some fifty builds each, which take their time where others compute, too.
pytestmark = pytest.mark.timeout(1800)


def config(builders: tuple[str, ...] = ("b",), slots: tuple[str, ...] = ("s1",), **kwargs: Any) -> dict[str, Any]:
    steps = [ShellCommand(command=["true"], name="one"), ShellCommand(command=["true"], name="two")]
    return {
        "workers": [AMQPLatentWorker(name) for name in slots],
        "builders": [
            BuilderConfig(name=name, workernames=list(slots), factory=BuildFactory(steps), **kwargs)
            for name in builders
        ],
    }


def lose(inside: InsideMaster) -> None:
    inside.agents.lose()


def stop(inside: InsideMaster) -> None:
    for build in inside.running():
        if build.buildid is not None:
            inside.master.mq.produce(("control", "builds", str(build.buildid), "stop"), {"reason": "enough"})


def cancel(inside: InsideMaster) -> None:
    for build in inside.running():
        key = ("control", "buildrequests", str(build.requests[0].id), "cancel")
        inside.master.mq.produce(key, {"reason": "enough"})


def kill(inside: InsideMaster) -> None:
    """On the worker page."""
    inside.master.workers.workers["s1"].shutdown()


def both(first: Callable[[InsideMaster], None], second: Callable[[InsideMaster], None]) -> Callable[..., None]:
    def fault(inside: InsideMaster) -> None:
        first(inside)
        second(inside)

    return fault


def then(first: Callable[[InsideMaster], None], second: Callable[[InsideMaster], None]) -> Callable[..., None]:
    """The second some awaits later."""

    def fault(inside: InsideMaster) -> None:
        first(inside)
        inside.reactor.callLater(0.015, second, inside)

    return fault


class Round:
    """One build with `fault` at its await number `number`, and what came of it."""

    def __init__(self, inside: InsideMaster, fault: Callable[[InsideMaster], None], number: int) -> None:
        inside.awaits.clear()
        inside.at_await = lambda at, name: fault(inside) if at == number else None
        request = inside.force("b")
        #: of its builds, and of the request
        self.results = inside.finished(request)
        self.request = statusToString(inside.request(request)["results"]).upper()
        inside.until(lambda: not inside.running(), "no build is left")
        self.over = number >= len(inside.awaits)
        inside.at_await = None
        self.told = f"await {number}, {inside.awaits[number : number + 1]}: {self.results}, {self.request}"
        assert inside.finished(inside.force("b")) == ["SUCCESS"], f"the slot works after {self.told}"
        assert not inside.agents.held, self.told


def rounds(inside: InsideMaster, fault: Callable[[InsideMaster], None]) -> Iterator[Round]:
    for number in count(1):
        result = Round(inside, fault, number)
        if result.over:
            return
        yield result


@pytest.mark.parametrize(
    ("fault", "locks"),
    [
        pytest.param(lose, False, id="lost"),
        pytest.param(lose, True, id="lost, with a lock", marks=pytest.mark.long),
        pytest.param(kill, False, id="killed", marks=pytest.mark.long),
    ],
)
def test_a_session_lost_at_any_await(inside: InsideMaster, fault: Callable[[InsideMaster], None], locks: bool) -> None:
    """The build is RETRY and its request a SUCCESS, or nothing was lost yet or any more; and the slot works."""
    inside.start(config(locks=[MasterLock("lock").access("exclusive")] if locks else []))
    seen = [each.results for each in rounds(inside, fault)]
    assert all(results in (["SUCCESS"], ["RETRY", "SUCCESS"]) for results in seen), seen
    assert seen.count(["RETRY", "SUCCESS"]) > 20, seen


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(stop, id="stop", marks=pytest.mark.long),
        pytest.param(both(stop, lose), id="stop, lost", marks=pytest.mark.long),
        pytest.param(then(stop, lose), id="stop, later lost", marks=pytest.mark.long),
        pytest.param(then(lose, stop), id="lost, later stop", marks=pytest.mark.long),
        pytest.param(cancel, id="cancel", marks=pytest.mark.long),
    ],
)
def test_a_stop_at_any_await(inside: InsideMaster, fault: Callable[[InsideMaster], None]) -> None:
    """Stays a Stop, also of a build whose agent is lost before or after: nothing that somebody stopped runs again."""
    inside.start(config())
    for each in rounds(inside, fault):
        assert len(each.results) == 1, each.told
        assert each.request in ("CANCELLED", "SUCCESS"), each.told


class Reconfig:
    """As a fault: to another configuration, in the middle of an await."""

    def __init__(self, to: dict[str, Any]) -> None:
        self._to = to
        self.done: Any = None

    def __call__(self, inside: InsideMaster) -> None:
        self.done = inside.begin_reconfigure(self._to)


def begun_or_over(inside: InsideMaster, begun: Callable[[], Any], request: int) -> bool:
    return bool(begun() or (not inside.running() and inside.complete(request)))


@pytest.mark.parametrize(
    "to",
    [
        pytest.param(config(builders=("other",)), id="builder removed", marks=pytest.mark.long),
        pytest.param(config(slots=("s2",)), id="slot renamed", marks=pytest.mark.long),
        pytest.param(config(builders=(), slots=()), id="both removed", marks=pytest.mark.long),
    ],
)
def test_a_reconfig_at_any_await(inside: InsideMaster, to: dict[str, Any]) -> None:
    """The build ends, RETRY or with its result; when all is back its request is a SUCCESS, and the slot works."""
    inside.start(config())
    for number in count(1):
        fault = Reconfig(to)
        inside.awaits.clear()
        inside.at_await = lambda at, name, fault=fault, number=number: fault(inside) if at == number else None
        request = inside.force("b")
        inside.until(
            partial(begun_or_over, inside, partial(getattr, fault, "done"), request), "it begins, or all is over"
        )
        inside.at_await = None
        if fault.done is None:
            return
        inside.wait(fault.done, f"the reconfig at await {number}")
        inside.reconfigure(config())
        results = inside.finished(request)
        assert (set(results[:-1]) | {"RETRY"}, results[-1]) == ({"RETRY"}, "SUCCESS"), f"await {number}: {results}"
        assert inside.finished(inside.force("b")) == ["SUCCESS"], f"the slot works after await {number}"


@pytest.mark.long  # with `make test` real masters are stopped: test_early_search.py, test_quick_stop.py
def test_buildbot_stop_at_any_await(inside: InsideMaster) -> None:
    """It comes to its end, and the request runs at the next start (here: when the shutdown is taken back)."""
    inside.start(config())
    botmaster = inside.master.botmaster
    for number in count(1):
        stops: list[Any] = []
        inside.awaits.clear()
        inside.at_await = lambda at, name, number=number, stops=stops: (
            stops.append(botmaster.cleanShutdown(quickMode=True, stopReactor=False)) if at == number else None
        )
        request = inside.force("b")
        inside.until(partial(begun_or_over, inside, partial(bool, stops), request), "it begins, or all is over")
        inside.at_await = None
        if not stops:
            return
        inside.wait(stops[0], f"buildbot stop at await {number}")
        assert not inside.running(), f"await {number}"
        botmaster.shuttingDown = False
        inside.wait(defer.maybeDeferred(botmaster.brd.setServiceParent, botmaster), "it distributes again")
        botmaster.maybeStartBuildsForAllBuilders()
        results = inside.finished(request)
        assert results[-1] in ("SUCCESS", "CANCELLED"), f"await {number}: {results}"
        assert inside.finished(inside.force("b")) == ["SUCCESS"], f"the slot works after await {number}"


def test_nobody_else_turns_the_clock(inside: InsideMaster) -> None:
    """Tests of the bridge leave the real reactor in a thread: Buildbot went on there, with an empty database."""
    inside.start(config())
    assert inside.finished(inside.force("b")) == ["SUCCESS"]
    waiting: Any = reactor
    asked = [call.func for call in waiting.getDelayedCalls()]
    assert inside.reactor._executeCurrentDelayedCalls not in asked
