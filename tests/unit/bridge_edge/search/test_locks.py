"""A WorkerLock limits what runs on an agent's machine; where it cannot, `checkconfig` says so."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from buildbot.locks import MasterLock, WorkerLock
from buildbot.plugins import steps, util
from buildbot.process.factory import BuildFactory

from contracts.messages import AgentLock, WorkerInfo
from master_bridge.buildbot.locks import agent_locks, limits_nothing
from master_bridge.buildbot.sessions.connection import worker_info
from master_bridge.buildbot.steps import CapabilityCommand
from tests.unit.bridge_edge.building import HOLDER

DB = WorkerLock("db", maxCount=2, maxCountForWorker={"builder7": 4})


@pytest.mark.parametrize(
    ("locks", "told"),
    [
        (None, ()),
        ([], ()),
        ([MasterLock("m").access("counting")], ()),
        ([WorkerLock("w")], (AgentLock(name="w", capacity=1),)),
        ([DB.access("counting")], (AgentLock(name="db", capacity=2, capacities={"builder7": 4}),)),
        ([DB.access("counting", 2)], (AgentLock(name="db", capacity=2, takes=2, capacities={"builder7": 4}),)),
        ([DB.access("exclusive")], (AgentLock(name="db", capacity=2, takes=4, capacities={"builder7": 4}),)),
        (util.renderer(lambda props: []), ()),
    ],
)
def test_worker_locks_are_told_to_agents(locks: Any, told: tuple[AgentLock, ...]) -> None:
    """Of builds, workers and steps; an exclusive access takes all that any agent has."""
    assert agent_locks(SimpleNamespace(locks=locks)) == told
    assert agent_locks(SimpleNamespace(), SimpleNamespace(locks=locks)) == told


def configured(*added: Any, locks: Any = (), amqp: bool = True) -> Any:
    factory = BuildFactory()
    for step in added:
        factory.addStep(step)
    worker = SimpleNamespace(workername="w1", amqp_worker=amqp)
    builder = SimpleNamespace(name="b", workernames=["w1"], factory=factory, locks=locks)
    return SimpleNamespace(workers=[worker], builders=[builder])


def test_what_limits_nothing_is_said() -> None:
    """With the builder, the step, the lock, and what to do instead."""
    step = steps.ShellCommand(name="migrate", command=["true"], locks=[DB.access("counting")])
    [said] = limits_nothing(configured(step))
    assert "builder 'b', step 'migrate': WorkerLock 'db' limits nothing on an agent's machine" in said
    assert "flock" in said
    [said] = limits_nothing(configured(locks=util.renderer(lambda props: [])))
    assert "builder 'b': its locks are rendered" in said


def test_what_limits_as_it_should_is_no_reason_to_say_anything() -> None:
    """A builder's locks, a CapabilityCommand's, master locks, and workers of Buildbot's own."""
    fine = CapabilityCommand(command=["true"], requires=["git"], locks=[DB.access("counting")])
    shell = steps.ShellCommand(command=["true"], locks=[MasterLock("m").access("counting")])
    assert not list(limits_nothing(configured(fine, shell, locks=[DB.access("counting")])))
    assert not list(limits_nothing(configured(steps.ShellCommand(command=["true"], locks=[DB]), amqp=False)))


def test_facts_of_the_machine_are_properties_of_the_worker() -> None:
    """They take the place of nothing that the worker itself says."""
    worker = WorkerInfo(
        version="1", basedir="/b", admin="Ada", facts={"os_id": "debian", "basedir": "/x", "agent": "x", "admin": "x"}
    )
    info = worker_info(SimpleNamespace(holder=HOLDER.__class__(**{**HOLDER.__dict__, "worker": worker})))  # type: ignore[arg-type]
    assert info["os_id"] == "debian"
    assert (info["basedir"], info["agent"], info["admin"]) == ("/b", HOLDER.agent, "Ada")
    assert "facts" not in info
