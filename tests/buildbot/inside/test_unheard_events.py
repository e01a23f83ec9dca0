"""What nobody listens to is not read from the database for it; who listens hears all that Buildbot tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from buildbot.config import BuilderConfig
from buildbot.mq.simple import SimpleMQ
from buildbot.process.factory import BuildFactory
from buildbot.steps.shell import ShellCommand

from master_bridge.buildbot.internals.unheard_events import UnheardEvents, heard
from master_bridge.buildbot.worker import AMQPLatentWorker
from tests.buildbot.inside.master import InsideMaster

STEP_PATHS = ["builds/{buildid}/steps/{stepid}", "steps/{stepid}"]
KINDS = ("build", "step", "log")


def config() -> dict[str, Any]:
    factory = BuildFactory([ShellCommand(command=["true"], name="one"), ShellCommand(command=["true"], name="two")])
    return {
        "workers": [AMQPLatentWorker("s0")],
        "builders": [BuilderConfig(name="a", workernames=["s0"], factory=factory)],
    }


class Heard:
    """What a listener with each of these filters gets."""

    def __init__(self, inside: InsideMaster, filters: Sequence[tuple[str | None, ...]]) -> None:
        self.got: list[tuple[Any, ...]] = []
        for filter in filters:
            inside.wait(inside.master.mq.startConsuming(self._note, filter), "it listens")

    def _note(self, key: tuple[str, ...], message: Any) -> None:
        self.got.append((key, {name: value for name, value in message.items() if not name.endswith("_at")}))


ALL = [
    ("builds", None, None),
    ("builders", None, "builds", None, None),
    ("workers", None, "builds", None, None),
    ("steps", None, None),
    ("builds", None, "steps", None, None),
    ("logs", None, None),
    ("steps", None, "logs", None, None),
]


@pytest.mark.parametrize("filters", [ALL, [("steps", None, "finished")], [("builds", "1", None)]], ids=str)
def test_who_listens_hears_what_buildbot_tells(
    inside: InsideMaster, monkeypatch: pytest.MonkeyPatch, filters: Sequence[tuple[str | None, ...]]
) -> None:
    """With the same master twice: as it is, and reading what is heard only."""
    told: list[list[tuple[Any, ...]]] = []
    inside.start(config())
    resources = [getattr(inside.master.data.rtypes, kind) for kind in KINDS]
    heard = Heard(inside, filters)
    first = inside.force("a")
    assert inside.finished(first) == ["SUCCESS"]
    told.append([key[-1:] for key, _ in heard.got])
    for resource in resources:
        monkeypatch.delattr(resource, "generateEvent")  # Buildbot's own again
    heard.got.clear()
    usual = Heard(inside, [tuple("2" if part == "1" else part for part in each) for each in filters])
    second = inside.force("a")
    assert inside.finished(second) == ["SUCCESS"]
    told.append([key[-1:] for key, _ in (usual.got if ("builds", "1", None) in filters else heard.got)])
    assert told[0] == told[1] != []
    monkeypatch.undo()


def test_nothing_is_read_for_nobody(inside: InsideMaster, monkeypatch: pytest.MonkeyPatch) -> None:
    inside.start(config())
    produced: list[Any] = []
    for kind in KINDS:
        resource = getattr(inside.master.data.rtypes, kind)
        monkeypatch.setattr(resource, "produceEvent", lambda row, event: produced.append(event))
    assert inside.finished(inside.force("a")) == ["SUCCESS"]
    assert produced == []
    Heard(inside, [("logs", None, None)])
    assert inside.finished(inside.force("a")) == ["SUCCESS"]
    assert set(produced) >= {"new", "finished"}


@pytest.mark.parametrize(
    ("filter", "event", "may"),
    [
        (("steps", None, None), "new", True),
        (("steps", None, "new"), "new", True),
        (("steps", "7", "new"), "new", True),
        (("builds", "1", "steps", None, None), "new", True),
        ((None, None, None), "new", True),
        (("steps", None, "finished"), "new", False),
        (("builds", None, None), "new", False),
        (("builds", "1", "steps", "2", "3", None), "new", False),
        (("builds", None, "logs", None, None), "new", False),
        ((), "new", False),
    ],
)
def test_filters(filter: tuple[str | None, ...], event: str, may: bool) -> None:
    assert heard(filter, STEP_PATHS, event) is may


def test_another_queue_of_messages_is_left_alone(inside: InsideMaster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody here knows who listens to it. And one that writes down each message gets each."""
    inside.start(config())
    for kind in KINDS:
        monkeypatch.delattr(getattr(inside.master.data.rtypes, kind), "generateEvent")
    queue = inside.master.mq.impl
    assert isinstance(queue, SimpleMQ)
    monkeypatch.setattr(inside.master.mq, "impl", object())
    events = UnheardEvents()
    events.keep(inside.master)
    assert "generateEvent" not in vars(inside.master.data.rtypes.step)
    monkeypatch.setattr(inside.master.mq, "impl", queue)
    events.keep(inside.master)
    events.keep(inside.master)
    produced: list[Any] = []
    monkeypatch.setattr(queue, "debug", True)
    monkeypatch.setattr(inside.master.data.rtypes.step, "produceEvent", lambda row, event: produced.append(event))
    assert inside.finished(inside.force("a")) == ["SUCCESS"]
    assert "finished" in produced
    events.release()
    assert "generateEvent" not in vars(inside.master.data.rtypes.step)
    monkeypatch.undo()


def test_a_queue_derived_from_buildbots_is_left_alone(inside: InsideMaster, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may hand on each message to somebody who is none of its listeners."""

    class Forwarding(SimpleMQ):
        """As one of master.cfg's that tells another system of each build."""

    inside.start(config())
    step = inside.master.data.rtypes.step
    monkeypatch.delattr(step, "generateEvent")
    monkeypatch.setattr(inside.master.mq, "impl", Forwarding())
    UnheardEvents().keep(inside.master)
    assert "generateEvent" not in vars(step)
    monkeypatch.undo()


@pytest.mark.parametrize("place", ["connector", "queue"])
def test_who_stands_before_the_queue_gets_each_event(
    inside: InsideMaster, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Also one who comes while the master runs."""
    inside.start(config())
    assert inside.finished(inside.force("a")) == ["SUCCESS"]
    got: list[tuple[str, ...]] = []
    produce = inside.master.mq.produce

    def noted(key: tuple[str, ...], message: Any) -> None:
        got.append(key)
        produce(key, message)

    monkeypatch.setattr(inside.master.mq, "produce", noted)
    if place == "queue":
        monkeypatch.setattr(inside.master.mq.impl, "produce", noted)
    assert inside.finished(inside.force("a")) == ["SUCCESS"]
    ends = {(key[0], key[-1]) for key in got}
    assert {(kind, "finished") for kind in ("builds", "steps", "logs")} <= ends
    monkeypatch.undo()
