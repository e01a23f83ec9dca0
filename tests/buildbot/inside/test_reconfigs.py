"""Every sequence of up to three reconfigs over builders, slots, requirements and names; idle, waiting and running."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from buildbot.config import BuilderConfig
from buildbot.process.factory import BuildFactory
from buildbot.steps.shell import ShellCommand
from buildbot.util import ComparableMixin
from buildbot.worker import Worker
from buildbot.worker.local import LocalWorker

from master_bridge.buildbot.internals import registrations
from master_bridge.buildbot.steps import CapabilityCommand
from master_bridge.buildbot.worker import AMQPLatentWorker
from tests.buildbot.inside.master import InsideMaster

#: Hundreds of reconfigs each, which take their time where others compute, too.
pytestmark = pytest.mark.timeout(3600)

Builders = dict[str, list[str]]

#: What a reconfig may lead to: builder -> its slots, and what all slots require. Sequences start and end with FIRST.
FIRST: tuple[Builders, str] = ({"b": ["s1"]}, "any")
CONFIGS: dict[str, tuple[Builders, str]] = {
    "as before": FIRST,
    "builder gone": ({"other": ["s1"]}, "any"),
    "slot added": ({"b": ["s1", "s2"]}, "any"),
    "slot elsewhere": ({"b": ["s2"], "other": ["s1"]}, "any"),
    "slot renamed": ({"b": ["s2"]}, "any"),
    "other requirements": ({"b": ["s1"]}, "gtk"),
    "builder added": ({"b": ["s1"], "other": ["s1"]}, "any"),
    "nothing left": ({}, "any"),
}


def config(builders: Builders, requires: str) -> dict[str, Any]:
    slots = sorted({slot for names in builders.values() for slot in names})
    steps = [ShellCommand(command=["true"], name="one")]
    return {
        "workers": [Worker("pb", "p"), *(AMQPLatentWorker(slot, requires=[requires]) for slot in slots)],
        "builders": [
            BuilderConfig(name=name, workernames=workers, factory=BuildFactory(steps))
            for name, workers in {"idle": ["pb"], **builders}.items()
        ],
    }


def sequences(length: int, sample: int | None = None) -> Iterator[tuple[str, ...]]:
    found = list(product(CONFIGS, repeat=length))
    return iter(found if sample is None else random.Random(1).sample(found, sample))


class Walk:
    """One master through many sequences."""

    def __init__(self, inside: InsideMaster, mode: str) -> None:
        self.inside, self.mode = inside, mode
        inside.start(config(*FIRST))

    def go(self, names: tuple[str, ...]) -> None:
        inside, agents = self.inside, self.inside.agents
        agents.serves, agents.holds = self.mode != "waiting", self.mode.startswith("running")
        requests = [] if self.mode == "idle" else [inside.force("b")]
        if requests:
            inside.until(lambda: agents.clients and (agents.held or not agents.serves), f"{names}: sought")
        for name in names:
            self.reconfigure(name, *CONFIGS[name])
            if self.mode == "waiting":
                self.check_waiting(requests[0], name, names)
        if self.mode == "running to its end":
            agents.end_commands()
            inside.until(lambda: not agents.held, f"{names}: the build ended")
        self.reconfigure("as before", *FIRST)
        agents.serves = True
        agents.begin_to_serve()
        agents.end_commands()
        requests.append(inside.force("b"))
        for request in requests:
            results = inside.finished(request)
            assert results[-1] == "SUCCESS", f"{names}: {results}"
            assert set(results[:-1]) <= {"RETRY"}, f"{names}: {results}"
        inside.until(lambda: not agents.clients, f"{names}: no agent is sought or held")

    def reconfigure(self, name: str, builders: Builders, requires: str) -> None:
        self.inside.reconfigure(config(builders, requires))
        botmaster = self.inside.master.botmaster
        seen = {it.name: sorted(pair.worker.name for pair in it.workers) for it in botmaster.builders.values()}
        assert seen == {"idle": [], **builders}, f"after {name}"
        for worker in self.inside.master.workers.workers.values():
            if isinstance(worker, AMQPLatentWorker):
                mine = {it for it, slots in builders.items() if worker.name in slots}
                assert set(worker.workerforbuilders) == mine, f"after {name}"
                listed = list(registrations.Registrations.of(botmaster).builders(worker.name))
                assert listed == botmaster.getBuildersForWorker(worker.name), f"after {name}"

    def check_waiting(self, request: int, name: str, names: Any) -> None:
        """Without its builder no build, no offer and no claim of its request; with it, one that waits."""
        inside = self.inside
        if "b" in CONFIGS[name][0]:
            inside.until(lambda: inside.agents.clients and inside.running(), f"after {name} it waits again")
            (client,) = inside.agents.clients.values()
            assert client.signature == CONFIGS[name][1], f"{names} after {name}"
        else:
            inside.until(lambda: not inside.request(request)["claimed"], f"after {name} the request is free")
            assert not inside.agents.clients, f"after {name}"


def test_a_builder_of_another_worker_removed_while_a_step_waits(inside: InsideMaster, tmp_path: Path) -> None:
    """The build runs on a worker of Buildbot's, the step's command waits for an agent: both end, and the request."""

    def local(builder: str) -> dict[str, Any]:
        factory = BuildFactory([CapabilityCommand(name="anywhere", command=["true"], requires=["gtk"])])
        return {
            "workers": [LocalWorker("local", str(tmp_path))],
            "builders": [BuilderConfig(name=builder, workernames=["local"], factory=factory)],
        }

    inside.start(local("b"))
    inside.agents.serves = False
    request = inside.force("b")
    inside.until(lambda: inside.agents.clients, "the command is sought an agent for")
    inside.reconfigure(local("other"))
    inside.agents.begin_to_serve()
    assert inside.finished(request) == ["SUCCESS"]
    inside.reconfigure(local("b"))
    assert inside.finished(inside.force("b")) == ["SUCCESS"]


MODES = ["idle", "running", *(pytest.param(mode, marks=pytest.mark.long) for mode in ("waiting", "running to its end"))]


@pytest.mark.parametrize("mode", MODES)
def test_sequences(inside: InsideMaster, mode: str) -> None:
    """All of one, and some of two and three: every builder has its slots, and every request its SUCCESS."""
    walk = Walk(inside, mode)
    for names in (*sequences(1), *sequences(2, sample=12), *sequences(3, sample=5)):
        walk.go(names)


@pytest.mark.long
@pytest.mark.parametrize("mode", MODES)
def test_all_sequences_of_two_and_three(inside: InsideMaster, mode: str) -> None:
    walk = Walk(inside, mode)
    for names in (*sequences(2), *sequences(3)):
        walk.go(names)


def test_what_a_wide_column_costs(inside: InsideMaster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that grows with the places, not with their square: how often settings of two workers are compared."""
    places = 60
    wide: Builders = {name: [f"s{number}" for number in range(places)] for name in ("b", "other")}
    inside.start(config(wide, "any"))
    compared: list[object] = []
    whole = ComparableMixin._cmp_common
    monkeypatch.setattr(ComparableMixin, "_cmp_common", lambda self, other: compared.append(self) or whole(self, other))
    updated: list[object] = []
    update = registrations.update
    monkeypatch.setattr(registrations, "update", lambda worker, *rest: updated.append(worker) or update(worker, *rest))
    inside.awaits.clear()
    inside.reconfigure(config(wide, "any"))
    assert updated == [], "a reconfig without anything new asks no place for its builders"
    assert len(compared) < 5 * len(inside.master.services)
    assert len(inside.awaits) < places
    compared.clear()
    inside.reconfigure(config({**wide, "third": ["s1"]}, "any"))
    assert {worker.name for worker in updated} == {"s1"}, "nor one whose builders are what they were"  # type: ignore[attr-defined]
    inside.awaits.clear()
    inside.end()
    assert not [builder.workers for builder in inside.master.botmaster.builders.values() if builder.workers]
    assert len(compared) < 20 * places
    assert len(inside.awaits) < places, "the master says once that its workers serve nobody any more"


def rows(inside: InsideMaster, name: str) -> Any:
    return inside.get("workers", name=name)[0]["configured_on"]


def test_a_worker_that_a_reconfig_removes_is_of_no_builder(inside: InsideMaster) -> None:
    """The master goes on, so the worker says it itself."""
    inside.start(config(*FIRST))
    assert rows(inside, "s1")
    inside.reconfigure(config({}, "any"))
    assert not rows(inside, "s1")


def test_a_master_that_stops_has_no_workers(inside: InsideMaster, monkeypatch: pytest.MonkeyPatch) -> None:
    inside.start(config({"b": ["s1", "s2"]}, "any"))
    left: list[int] = []
    pool = inside.master.db.pool
    query = "select count(*) from configured_workers"
    ask = lambda: left.append(pool.do(lambda connection: connection.exec_driver_sql(query).scalar()).result)  # noqa: E731
    stop = inside.master.db.stopService
    monkeypatch.setattr(inside.master.db, "stopService", lambda: ask() or stop())  # type: ignore[func-returns-value]
    ask()
    inside.end()
    assert left == [3, 0]


def test_functions_of_a_reconfig_without_anything_else(inside: InsideMaster) -> None:
    """Each reconfig brings new ones, which are guarded like the first."""

    def asks(builder: Any, pair: Any, request: Any) -> bool:
        return bool(pair.worker.worker_environ)

    def configured() -> dict[str, Any]:
        found = config(*FIRST)
        for each in found["builders"]:
            each.canStartBuild = asks
        return found

    inside.start(configured())
    inside.reconfigure(configured())
    assert inside.finished(inside.force("b")) == ["EXCEPTION"], "it says that a slot has no machine yet"


def test_back_after_a_reconfig_that_failed(inside: InsideMaster, monkeypatch: pytest.MonkeyPatch) -> None:
    """It took the builder's slots away, and did not come to the slots."""
    before: tuple[Builders, str] = ({"b": ["s1"], "other": ["s2"]}, "any")
    walk = Walk(inside, "idle")
    walk.reconfigure("two slots", *before)

    def fails(self: Any, sibling: Any) -> Any:
        raise RuntimeError("as planned")

    with monkeypatch.context() as patches:
        for kind in (Worker, AMQPLatentWorker):
            patches.setattr(kind, "reconfigServiceWithSibling", fails)
        inside.reconfigure(config({"b": ["s2"], "other": ["s1"]}, "any"))
    walk.reconfigure("two slots", *before)
    assert inside.finished(inside.force("b")) == ["SUCCESS"]
