"""Properties of a build are stored, and told, as Buildbot stores and tells them: in one transaction."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy
from buildbot.data.properties import Properties as PropertiesResource
from buildbot.db.builds import BuildsConnectorComponent
from buildbot.db.enginestrategy import create_engine
from buildbot.db.model import Model
from buildbot.process.properties import Interpolate, Properties, Transform
from twisted.internet import defer

from master_bridge.buildbot.internals.build_properties import BuildProperties

BUILD = 7


class Pool:
    """What its threads run is run at once."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.transactions = 0

    def do(self, work: Any, *arguments: Any, **keywords: Any) -> Any:
        with self.engine.connect() as connection:
            return defer.execute(work, connection, *arguments, **keywords)

    def do_with_transaction(self, work: Any, *arguments: Any) -> Any:
        self.transactions += 1

        def run() -> Any:
            with self.engine.connect() as connection, connection.begin():
                return work(connection, *arguments)

        return defer.execute(run)


class Master:
    """With Buildbot's own table of properties, and what reads, writes and tells them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.pool = Pool(create_engine("sqlite:///state.sqlite", basedir=str(folder)))
        self.db: Any = SimpleNamespace(pool=self.pool, model=Model)
        self.db.builds = BuildsConnectorComponent(self.db)
        self.db.builds.parent = SimpleNamespace(master=self)
        self.told: list[Any] = []
        self.mq = SimpleNamespace(produce=lambda key, message: self.told.append((key, message)))
        resource = PropertiesResource(self)
        self.data = SimpleNamespace(
            get=self._get,
            updates=SimpleNamespace(setBuildProperties=resource.setBuildProperties),
            rtypes=SimpleNamespace(property=resource),
        )
        Model.metadata.create_all(self.pool.engine, tables=[Model.build_properties])

    def _get(self, path: Any) -> Any:
        assert path == ("builds", str(BUILD), "properties")
        return self.db.builds.getBuildProperties(BUILD)

    def set(self, properties: Properties) -> Any:
        """None, or the failure."""
        got: list[Any] = []
        self.data.updates.setBuildProperties(BUILD, properties).addBoth(got.append)
        return got[0]

    def stored(self) -> list[Any]:
        table = Model.build_properties
        with self.pool.engine.connect() as connection:
            return sorted(tuple(row) for row in connection.execute(sqlalchemy.select(table)).all())


def properties(**values: Any) -> Properties:
    made = Properties()
    for name, value in values.items():
        made.setProperty(name, value, f"source of {name}")
    return made


#: Set one after the other.
SETS = {
    "the first": properties(text="a", number=7, nothing=None, listed=["ü→𝄞", {"a": [1.5, True]}]),
    "the same": properties(text="a", number=7, nothing=None, listed=["ü→𝄞", {"a": [1.5, True]}]),
    "some of them": properties(text="a"),
    "one changed, two new": properties(text="b", number=7, more=1, rendered=Interpolate("%(prop:text)s!")),
    "none": Properties(),
}
SETS["another source"] = Properties()
SETS["another source"].setProperty("text", "b", "somebody else")


@pytest.fixture
def masters(tmp_path: Path) -> tuple[Master, Master]:
    """Buildbot's, and ours."""
    usual, ours = Master(tmp_path / "usual"), Master(tmp_path / "ours")
    BuildProperties().keep(ours)
    return usual, ours


def test_what_is_stored_and_told_is_what_buildbot_stores_and_tells(masters: tuple[Master, Master]) -> None:
    usual, ours = masters
    for each in [*SETS.values(), *reversed(SETS.values())]:
        assert usual.set(each) is ours.set(each) is None
        assert ours.stored() == usual.stored() != []
        assert ours.told == usual.told != []


def test_all_that_is_new_is_one_transaction_and_nothing_new_is_none(masters: tuple[Master, Master]) -> None:
    usual, ours = masters
    for master, of_the_first in ((usual, 4), (ours, 1)):
        counts = []
        for each in SETS.values():
            master.pool.transactions = 0
            master.set(each)
            counts.append(master.pool.transactions)
        assert counts[0] == of_the_first
        assert counts[1] == counts[2] == counts[4] == 0


@pytest.mark.parametrize(
    "bad", [pytest.param({300 * "n": 1}, id="name too long"), pytest.param({"object": Transform(object)}, id="no JSON")]
)
def test_what_cannot_be_stored_fails_as_with_buildbot(masters: tuple[Master, Master], bad: dict[str, Any]) -> None:
    """What comes before it is stored, and nothing is told."""
    usual, ours = masters
    for master in masters:
        master.db.builds._isCheckLengthNecessary = True  # MySQL cuts what is too long, so Buildbot looks there only
    failures = [master.set(properties(first=1, **bad, later=2)) for master in masters]
    assert failures[0].type is failures[1].type
    assert str(failures[0].value) == str(failures[1].value)
    assert ours.stored() == usual.stored() == [(BUILD, "first", "1", "source of first")]
    assert ours.told == usual.told == []


def test_those_of_one_build_are_written_one_after_the_other(
    masters: tuple[Master, Master], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two transactions at once would both find a property missing, and add it."""
    _, ours = masters
    begun: list[tuple[int, defer.Deferred[None]]] = []
    write = ours.pool.do_with_transaction

    def later(work: Any, builds: Any, build: int, new: Any) -> Any:
        begun.append((build, defer.Deferred()))
        return begun[-1][1].addCallback(lambda _: write(work, builds, build, new))

    monkeypatch.setattr(ours.pool, "do_with_transaction", later)
    monkeypatch.setattr(ours.data, "get", lambda path: ours.db.builds.getBuildProperties(int(path[1])))
    done: list[Any] = []
    agent, all_of_them = properties(agent="a1"), properties(agent="a1", other=1)
    for build, each in ((BUILD, agent), (BUILD, all_of_them), (BUILD + 1, agent)):
        ours.data.updates.setBuildProperties(build, each).addBoth(done.append)
    assert [build for build, _ in begun] == [BUILD, BUILD + 1], "another build does not wait"
    begun[0][1].callback(None)
    begun[1][1].callback(None)
    assert [build for build, _ in begun] == [BUILD, BUILD + 1, BUILD]
    begun[2][1].callback(None)
    assert done == 3 * [None]
    assert [name for build, name, *_ in ours.stored() if build == BUILD] == ["agent", "other"]


def test_no_build_is_remembered(masters: tuple[Master, Master]) -> None:
    master, kept = masters[0], BuildProperties()
    kept.keep(master)
    for each in (*SETS.values(), properties(object=Transform(object))):
        master.set(each)
    assert kept._turns == {}


def test_after_its_release_it_is_buildbots_own_again(tmp_path: Path) -> None:
    master, kept = Master(tmp_path / "master"), BuildProperties()
    own = master.data.updates.setBuildProperties
    kept.keep(master)
    kept.keep(master)
    assert master.data.updates.setBuildProperties is not own
    kept.release()
    kept.release()
    assert master.data.updates.setBuildProperties == own
