"""Functions of the configuration that choose a worker, on builders with slots: what they ask of a machine is told."""

from __future__ import annotations

from typing import Any

import pytest
from buildbot.config import BuilderConfig
from buildbot.process.builder import enforceChosenWorker
from buildbot.process.factory import BuildFactory
from buildbot.process.properties import Properties
from buildbot.process.remotecommand import RemoteCommand
from buildbot.steps.shell import ShellCommand
from buildbot.worker import Worker
from twisted.internet import defer

from master_bridge.buildbot.worker import AMQPLatentWorker
from tests.buildbot.inside.master import InsideMaster


def config(*, more: tuple[Any, ...] = (), top: dict[str, Any] | None = None, **kwargs: Any) -> dict[str, Any]:
    workers = [AMQPLatentWorker("s1"), AMQPLatentWorker("s2"), *more]
    factory = BuildFactory([ShellCommand(command=["true"], name="one")])
    names = [worker.name for worker in workers]
    builder = BuilderConfig(name="b", workernames=names, factory=factory, **kwargs)
    return {"workers": workers, "builders": [builder], **(top or {})}


class _Build:
    properties = Properties()


class _Step:
    build = _Build()


@defer.inlineCallbacks
def by_the_manual(builder: Any, wfb: Any, request: Any) -> Any:
    """The example of Buildbot's manual: a shell command on the worker (customization, `canStartBuild` functions)."""
    args = {"command": "true", "logEnviron": False, "workdir": wfb.worker.worker_basedir, "want_stdout": False}
    command = RemoteCommand("shell", args, stdioLogName=None)
    command.worker = wfb.worker
    yield command.run(_Step(), wfb.worker.conn, builder.name)
    return command.rc == 0


@defer.inlineCallbacks
def by_the_manual_in_short(builder: Any, wfb: Any, request: Any) -> Any:
    """Its first example: does a file exist there?"""
    command = RemoteCommand("stat", {"file": "/opt/vm"}, stdioLogName=None)
    command.worker = wfb.worker
    yield command.run(None, wfb.worker.conn, builder.name)
    return command.rc == 0


def if_connected(builder: Any, wfb: Any, request: Any) -> bool:
    return wfb.worker.conn is not None


def by_its_processors(builder: Any, pairs: list[Any], request: Any) -> Any:
    return max(pairs, key=lambda pair: pair.worker.info.getProperty("numcpus"))


def of_its_system(builder: Any, pairs: list[Any], request: Any) -> Any:
    return next((pair for pair in pairs if getattr(pair.worker, "worker_system", None) == "posix"), None)


def told(inside: InsideMaster, request: int) -> str:
    """What the logs of the build's first step say."""
    (build,) = inside.get("buildrequests", request, "builds")
    steps = inside.get("builds", build["buildid"], "steps")
    logs = inside.get("steps", steps[0]["stepid"], "logs")
    return "".join(inside.get("logs", log["logid"], "contents")["content"] for log in logs if log["type"] == "t")


@pytest.mark.parametrize(
    ("kwargs", "top", "asked"),
    [
        ({"canStartBuild": by_the_manual}, {}, "canStartBuild of builder 'b' asks a worker for its `worker_basedir`"),
        ({"canStartBuild": by_the_manual_in_short}, {}, "asks a worker for its `conn`"),
        ({"canStartBuild": if_connected}, {}, "asks a worker for its `conn`"),
        ({"nextWorker": by_its_processors}, {}, "nextWorker of builder 'b' asks a worker for its `info`"),
        ({"nextWorker": of_its_system}, {}, "asks a worker for its `worker_system`"),
        ({}, {"select_next_worker": by_its_processors}, "asks a worker for its `info`"),
    ],
    ids=["manual", "manual, short", "connected", "processors", "system", "for all builders"],
)
def test_a_function_that_asks_the_machine(inside: InsideMaster, kwargs: Any, top: Any, asked: str) -> None:
    """The build is an EXCEPTION that says what was asked, and what to use instead; also after another had an agent."""
    inside.start(config())
    assert inside.finished(inside.force("b")) == ["SUCCESS"]
    inside.reconfigure(config(top=top, **kwargs))
    request = inside.force("b")
    assert inside.finished(request) == ["EXCEPTION"]
    text = told(inside, request)
    assert asked in text
    assert "`requires`" in text
    inside.reconfigure(config())
    assert inside.finished(inside.force("b")) == ["SUCCESS"]


def test_what_asks_no_machine_chooses_places(inside: InsideMaster) -> None:
    """By names, properties of requests, and what it kept in a worker itself."""
    seen: list[Any] = []

    def can_start(builder: Any, wfb: Any, request: Any) -> bool:
        wfb.worker.last_seen = request.id
        seen.append((wfb.worker.workername, isinstance(wfb.worker, AMQPLatentWorker), wfb.worker in {wfb.worker}))
        return bool(wfb.worker.name == request.properties["place"])

    inside.start(config(canStartBuild=can_start, nextWorker=lambda builder, pairs, request: pairs[-1]))
    request = inside.force("b", place="s1")
    assert inside.finished(request) == ["SUCCESS"]
    assert ("s1", True, True) in seen
    assert inside.master.workers.workers["s1"].last_seen == request
    (build,) = inside.get("buildrequests", request, "builds")
    assert inside.get("workers", build["workerid"])["name"] == "s1"


def test_an_error_of_its_own_stays_buildbots(inside: InsideMaster) -> None:
    """Nothing was asked of a machine: Buildbot logs it, and asks again at the next occasion."""
    inside.start(config(canStartBuild=lambda builder, wfb, request: 1 / 0))
    request = inside.force("b")
    inside.turn(5)
    assert inside.results(request) == []
    inside.reconfigure(config())
    assert inside.finished(request) == ["SUCCESS"]


def test_a_worker_of_another_kind_may_still_answer(inside: InsideMaster) -> None:
    """A builder with slots and PB workers: the request waits for those, since they are machines."""
    inside.start(config(more=(Worker("pb", "p"),), canStartBuild=by_the_manual))
    request = inside.force("b")
    inside.turn(5)
    assert inside.results(request) == []
    assert not inside.request(request)["claimed"]


def test_a_chosen_worker_is_a_place_and_the_build_says_so(inside: InsideMaster) -> None:
    inside.start(config(canStartBuild=enforceChosenWorker))
    request = inside.force("b", workername="s2")
    assert inside.finished(request) == ["SUCCESS"]
    assert "'s2' was chosen for this build. It is a place in a column, not a machine" in told(inside, request)
    assert inside.finished(inside.force("b")) == ["SUCCESS"]


def test_a_chosen_worker_that_is_none_ends_the_build(inside: InsideMaster) -> None:
    """The name of a machine, say: no slot will ever have it, so the request would wait for ever."""
    inside.start(config(canStartBuild=enforceChosenWorker))
    request = inside.force("b", workername="builder7")
    assert inside.finished(request) == ["EXCEPTION"]
    assert "'builder7' was chosen for this build, and there is none of that name" in told(inside, request)
