"""Why Buildbot has not started a request, what it waits for, and what nobody can tell."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from buildbot.interfaces import IRenderable
from buildbot.locks import MasterLock, RealMasterLock
from zope.interface import implementer

from master_bridge.buildbot.internals.running_builds import RunningBuilds
from master_bridge.core.forecast import Machine
from master_bridge.www import held
from master_bridge.www.held import HoldingBack, HoldReason

DB = MasterLock("db", maxCount=3)


def place(name: str, *, free: bool = False, building: bool = True) -> Any:
    return SimpleNamespace(
        name=name, amqp_worker=True, signature="gtk>=3", building={1} if building else set(), canStartBuild=lambda: free
    )


def pb(name: str, *, there: bool = True) -> Any:
    return SimpleNamespace(name=name, canStartBuild=lambda: there, conn=object() if there else None)


class Build:
    """As far as Buildbot's is looked at."""

    def __init__(self, builder: str, number: int, worker: str) -> None:
        self.builder = SimpleNamespace(name=builder)
        self.number = number
        self.workerforbuilder = SimpleNamespace(worker=SimpleNamespace(workername=worker))
        self.executedSteps = [SimpleNamespace()]


class Stage:
    """One builder, "gtk", on `workers`; `builds` run; the lock "db" is held by `owners`."""

    def __init__(
        self,
        *workers: Any,
        shortage: Any = None,
        builds: tuple[Build, ...] = (),
        owners: tuple[Any, ...] = (),
        **config: Any,
    ) -> None:
        lock = RealMasterLock("db")
        lock.updateFromLockId(DB, 1)
        for owner, access in owners:
            lock.claim(owner, access)
        builder = SimpleNamespace(
            name="gtk", workernames=[*(each.name for each in workers), "gone"], **{"locks": [], **config}
        )
        building: dict[str, list[Build]] = {}
        for build in builds:
            building.setdefault(build.builder.name, []).append(build)
        botmaster = SimpleNamespace(
            builders={name: SimpleNamespace(name=name, building=theirs) for name, theirs in building.items()},
            namedServices={RealMasterLock.getName("db"): lock},
        )
        master = SimpleNamespace(
            workers=SimpleNamespace(workers={worker.name: worker for worker in workers}),
            config=SimpleNamespace(builders=[builder]),
            botmaster=botmaster,
        )
        broker = SimpleNamespace(master=master, room=SimpleNamespace(shortage=lambda: shortage))
        self.holding = HoldingBack(broker, RunningBuilds())

    def look(self) -> HoldReason:
        return self.holding.of("gtk")


def test_taken_places_are_what_it_waits_for() -> None:
    """A paused one is not among them: it stays paused."""
    found = Stage(place("gtk-1"), place("gtk-2"), place("gtk-3", building=False)).look()
    assert found == HoldReason(reason=held.TAKEN, places={"gtk-1": "gtk>=3", "gtk-2": "gtk>=3"})


def test_a_busy_worker_of_another_kind_is_waited_for_too() -> None:
    stage = Stage(place("gtk-1"), pb("old"), pb("away", there=False), builds=(Build("gtk", 7, "old"),))
    assert stage.look() == HoldReason(reason=held.OTHERS, places={"gtk-1": "gtk>=3", "old": "worker old"})
    machines = {next(iter(machine.serves)): machine for machine in stage.holding.machines()}
    assert machines["worker away"] == Machine(serves=frozenset({"worker away"}), free=0)
    assert [(run.builder, run.place) for run in machines["worker old"].running] == [("gtk", "old")]


def test_a_free_place_without_anything_in_the_way_is_about_to_be_had() -> None:
    free = place("gtk-2", free=True, building=False)
    assert Stage(place("gtk-1"), free).look() == HoldReason(reason=held.READY, places={"": "gtk>=3"}, after=0)
    assert Stage(place("gtk-1"), pb("old")).look().places == {"": "worker old"}


@pytest.mark.parametrize(
    ("wanted", "owned", "after"),
    [
        (DB.access("exclusive"), ["counting", "counting"], 2),
        (DB.access("counting"), ["exclusive"], 1),
        (DB.access("counting"), ["counting", "counting", "counting"], 1),
        (DB.access("counting", 2), ["counting", "counting"], 1),
    ],
)
def test_a_lock_is_waited_for_until_enough_of_its_holders_have_ended(wanted: Any, owned: list[str], after: int) -> None:
    builds = tuple(Build("other", number, f"w{number}") for number in range(len(owned)))
    owners = tuple((build, DB.access(mode)) for build, mode in zip(builds, owned, strict=True))
    stage = Stage(place("gtk-1", free=True, building=False), builds=builds, owners=owners, locks=[wanted])
    found = stage.look()
    assert found.places == {"lock db": "gtk>=3"}
    assert found.after == after
    assert found.reason == "lock 'db' of its builder is held by " + ", ".join(f"other #{n}" for n in range(len(owned)))
    assert stage.holding.frees() == {f"w{number}": ["lock db"] for number in range(len(owned))}


def test_a_lock_that_a_step_holds_is_its_builds() -> None:
    build = Build("other", 3, "w3")
    owners = ((build.executedSteps[0], DB.access("exclusive")),)
    stage = Stage(place("gtk-1", free=True), builds=(build,), owners=owners, locks=[DB.access("counting")])
    assert stage.look().reason == "lock 'db' of its builder is held by other #3"
    assert stage.holding.frees() == {"w3": ["lock db"]}


def test_a_lock_with_room_is_not_in_the_way() -> None:
    build = Build("other", 3, "w3")
    owners = ((build, DB.access("counting")),)
    stage = Stage(place("gtk-1", free=True), builds=(build,), owners=owners, locks=[DB.access("counting")])
    assert stage.look().reason == held.READY


@implementer(IRenderable)
class Rendered:
    pass


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"locks": Rendered()}, "its locks are rendered"),
        ({"canStartBuild": lambda: False}, "canStartBuild of master.cfg"),
        ({"nextWorker": lambda: None, "nextBuild": lambda: None}, "nextWorker or nextBuild of master.cfg"),
    ],
)
def test_what_the_configuration_decides_nobody_can_tell(config: dict[str, Any], words: str) -> None:
    found = Stage(place("gtk-1", free=True), **config).look()
    assert words in found.reason
    assert held.UNTOLD in found.reason
    assert not found.places


@pytest.mark.parametrize(
    ("workers", "words"),
    [([place("gtk-1", building=False)], "paused"), ([], "paused"), ([pb("away", there=False)], "no worker")],
)
def test_where_no_place_takes_work_nobody_can_tell(workers: list[Any], words: str) -> None:
    found = Stage(*workers).look()
    assert words in found.reason
    assert held.UNTOLD in found.reason
    assert not found.places


def test_a_full_disk_and_an_unknown_builder_are_named() -> None:
    full = Stage(place("gtk-1"), shortage=SimpleNamespace(text="disk\nfull")).look().reason
    assert full == "the master has no room: disk\\nfull: when it starts cannot be told before it has"
    assert Stage().holding.of("other").reason == held.UNKNOWN
