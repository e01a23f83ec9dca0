"""What Buildbot's pages say of places, by what the fleet and the broker are at."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet import defer
from twisted.internet.task import Clock

from contracts.requirements.sets import Requirements
from master_bridge.buildbot import worker_pages
from master_bridge.buildbot.internals import worker_rows
from master_bridge.buildbot.internals.worker_rows import WorkerRow
from master_bridge.buildbot.worker_pages import ASKING, SETTLES, UNREACHABLE, WorkerPages

GTK = Requirements.of(["gtk>=3"])


class Scene:
    """Two places of a column, in a master whose database notes what is written."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        self.column: dict[str, Any] = {"qualified": 1, "unfit": 0, "missing": []}
        self.written: list[Mapping[int, WorkerRow]] = []
        self.fails = False
        places = {
            f"gtk-{number}": SimpleNamespace(amqp_worker=True, workerid=number, requirements=GTK, signature="gtk>=3")
            for number in (1, 2)
        }
        others = {"pb": SimpleNamespace(workerid=3), "new": SimpleNamespace(amqp_worker=True, workerid=None)}
        self.places = {**places, **others}
        master = SimpleNamespace(
            reactor=self.clock,
            workers=SimpleNamespace(workers=self.places),
            config=SimpleNamespace(buildbotURL="http://b/"),
        )
        feed = SimpleNamespace(columns=lambda: {"gtk>=3": self.column})
        self.broker = SimpleNamespace(master=master, down_reason=None, page=SimpleNamespace(feed=feed))
        self.pages = WorkerPages(self.broker)
        monkeypatch.setattr(worker_rows, "write", self._write)

    def _write(self, _master: Any, rows: Mapping[int, WorkerRow]) -> defer.Deferred[None]:
        if self.fails:
            return defer.fail(OSError("locked"))
        self.written.append(rows)
        return defer.succeed(None)

    def look(self, after: float = 0.0) -> tuple[bool | None, str]:
        """(connected, agents) of the last that was written, of both places."""
        self.clock.advance(after)
        self.pages.look()
        first, second = self.written[-1][1], self.written[-1][2]
        assert first == second
        return first.connected, first.info["agents"]


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_a_place_says_what_it_is_and_whether_it_is_served(scene: Scene) -> None:
    """In the order in which it is known, and only what is new."""
    assert scene.look() == (None, ASKING)
    assert scene.look(SETTLES) == (True, "some qualify and take work")
    scene.look()
    assert len(scene.written) == 2, "nothing new is not written"
    assert set(scene.written[-1]) == {1, 2}, "of our places only"
    assert scene.written[-1][1].info == {
        "place": "of the column gtk>=3, for one build at a time",
        "host": worker_pages.NO_MACHINE,
        "agents": "some qualify and take work",
        "access_uri": "http://b/#/fleet?requirement=gtk%3E%3D3",
    }
    scene.column.update(qualified=0, unfit=2)
    assert scene.look() == (False, "none: those that qualify take no work (paused, unwell, silent, leaving)")
    scene.column.update(unfit=0, missing=["2 agents lack gtk"])
    assert scene.look() == (False, "none qualifies: 2 agents lack gtk")
    scene.column.update(missing=[])
    assert scene.look() == (False, "none qualifies: no agent is alive")


def test_a_short_loss_of_the_broker_changes_nothing(scene: Scene) -> None:
    """A long one does, and so does its end, once the agents have told of themselves."""
    scene.look(SETTLES)
    scene.look(SETTLES)
    for _ in range(3):
        scene.broker.down_reason = "refused"
        assert scene.look(1.0)[0] is True
        scene.broker.down_reason = None
        assert scene.look(1.0)[0] is True
    scene.broker.down_reason = "refused"
    scene.look()
    assert scene.look(SETTLES) == (False, UNREACHABLE)
    scene.broker.down_reason = None
    scene.look()
    assert scene.look(1.0) == (False, UNREACHABLE)
    assert scene.look(SETTLES)[0] is True


def test_what_could_not_be_written_is_written_at_the_next_look(scene: Scene) -> None:
    scene.fails = True
    said: list[object] = []
    scene.pages.look().addErrback(lambda failure: said.append(failure.value))
    assert [str(each) for each in said] == ["locked"]
    scene.fails = False
    assert scene.look() == (None, ASKING)


def test_a_master_that_stops_takes_back_what_it_told(scene: Scene) -> None:
    assert scene.pages.leave() is None
    scene.look(SETTLES)
    scene.pages.leave()
    assert scene.written[-1] == {}
