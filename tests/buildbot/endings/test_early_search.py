"""A build's agent is sought, and found, while Buildbot still prepares the build; and what becomes of it then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for

#: Buildbot renders a build's locks between its id and the moment at which it asks for an agent. (Its distributor does
#: so before, when there is no build number.) They hold the build there until `gate` exists, or the master stops.
CONFIG = """
import os
from twisted.internet import defer, reactor, task

@util.renderer
@defer.inlineCallbacks
def held_up(props):
    if props.getProperty("buildnumber") is not None:
        {fault}
        while not os.path.exists({gate!r}) and not props.master.botmaster.shuttingDown:
            yield task.deferLater(reactor, 0.05)
        yield task.deferLater(reactor, 0.2)
    return []

c['workers'] = worker.amqp_column("gtk", workers=2, requires=["gtk"])
builder("held", c['workers'], steps.ShellCommand(name="sh", command="echo ran >> {mark}"), locks=held_up)
builder("quick", c['workers'], steps.ShellCommand(name="sh", command=["true"]))
"""


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


def config(tmp_path: Path, gate: Path, fault: str = "") -> str:
    return CONFIG.format(gate=str(gate), mark=tmp_path / "mark", fault=fault)


def wait_found(master: BuildMaster) -> None:
    """An agent has come for a build that Buildbot does not have an agent for yet."""
    wait_for(lambda: "early=true" in master.log(), 60, lambda: f"an agent found early:\n{master.log()[-4000:]}")


def test_the_agent_is_there_before_buildbot_asks_for_it(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path, gate: Path
) -> None:
    """Buildbot sees nothing of it before; then it is the build's, by the one offer that was made."""
    master = make_master(config(tmp_path, gate))
    make_agent("a1", capabilities=["gtk"])
    request = master.force("held")
    wait_found(master)
    build = master.builds(request)[-1]
    assert "agent" not in master.properties(build)
    gate.touch()
    build = master.finished(request)
    assert build.result == "SUCCESS", master.describe(request)
    assert master.properties(build)["agent"] == "a1"
    assert master.log().count("event=amqp.attached") == 1


def test_stop_before_buildbot_asks_for_an_agent(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path, gate: Path
) -> None:
    """The build is over as soon as Buildbot comes to that, and waits for nobody; its agent takes the next build."""
    master = make_master(config(tmp_path, gate))
    make_agent("a1", capabilities=["gtk"])
    request = master.force("held")
    wait_found(master)
    master.call(f"/builds/{master.started(request).id}", "stop", reason="enough")
    gate.touch()
    build = master.finished(request)
    assert build.result == "CANCELLED", master.describe(request)
    assert build.step_result("worker_preparation") == "CANCELLED"
    assert not (tmp_path / "mark").exists()
    second = master.force("quick")
    assert master.finished(second).result == "SUCCESS", master.describe(second)


def test_buildbot_stop_before_buildbot_asks_for_an_agent(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path, gate: Path
) -> None:
    """The build is RETRY and runs after the next start, once."""
    master = make_master(config(tmp_path, gate))
    make_agent("a1", capabilities=["gtk"])
    request = master.force("held")
    wait_found(master)
    master.stop()
    gate.touch()
    master.start()
    master.finished(request)
    assert [build.result for build in master.builds(request)] == ["RETRY", "SUCCESS"], master.describe(request)
    assert (tmp_path / "mark").read_text().split() == ["ran"]


@pytest.mark.long
def test_a_build_that_buildbot_drops_does_not_keep_its_agent(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path, gate: Path
) -> None:
    """An error in the configuration's locks, by which Buildbot never ended a build: an EXCEPTION that says why."""
    wait = f"while not os.path.exists({str(gate)!r}): yield task.deferLater(reactor, 0.05)"
    master = make_master(config(tmp_path, gate, fault=f"{wait}\n        raise ValueError('oops')"))
    make_agent("a1", capabilities=["gtk"])
    dropped = master.force("held")
    wait_found(master)
    gate.touch()
    second = master.force("quick")
    assert master.finished(second, 60).result == "SUCCESS", master.describe(second)
    build = master.finished(dropped)
    assert build.result == "EXCEPTION", master.describe(dropped)
    assert "oops" in master.step_log(build, "worker_preparation", "err.text")
