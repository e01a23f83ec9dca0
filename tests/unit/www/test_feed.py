"""What the page is told when other masters say what this one cannot read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from contracts.messages import Catalogue, SlotStatus, Status, Work, WorkView
from master_bridge.core.records import RequestView
from master_bridge.www.feed import MASTERS_MAX, SIGNATURES_MAX, Feed, _machine


def make_feed() -> Feed:
    """Of a master without workers, whose broker is out of reach."""
    master = SimpleNamespace(workers=SimpleNamespace(workers={}), config=SimpleNamespace(builders=[]))
    return Feed(SimpleNamespace(master=master, bridge=None, settings=None, down_reason=None))


@pytest.mark.parametrize("unreadable", ["gtk=>>3", "GTK", "", "\x00", "gtk>=" + "9" * 5_000, "a" * 300])
def test_a_signature_that_cannot_be_read_hides_no_other(unreadable: str) -> None:
    """A master of a newer version may ask for what this one does not know; its request is shown as waiting."""
    feed = make_feed()
    feed.hear(Catalogue(master="m2", incarnation="i", signatures=(unreadable, "gtk>=3")))
    view = WorkView(request="br-1", title="gtk #1", signature=unreadable, state="waiting", since=1.0)
    feed.hear(Work(master="m2", incarnation="i", now=1.0, requests=(view,)))
    feed.expect({})
    told = feed.told("", 0)
    assert [column["signature"] for column in told["columns"]] == ["gtk>=3"]
    assert [(row["title"], row["reason"]) for row in told["waiting"]] == [("gtk #1", "waits for an agent")]


def test_another_master_has_no_more_columns_than_a_master_can_show() -> None:
    feed = make_feed()
    names = tuple(f"cap{number}x" for number in range(SIGNATURES_MAX + 1))
    feed.hear(Catalogue(master="m2", incarnation="i", signatures=names))
    assert len(feed.told("", 0)["columns"]) == SIGNATURES_MAX


def test_so_many_other_masters_are_known_whatever_is_told_between_two_looks() -> None:
    """Whoever may publish can invent names; those that were heard last are shown, before the feed next tidies up."""
    feed = make_feed()
    for number in range(3 * MASTERS_MAX):
        feed.hear(Catalogue(master=f"m{number}", incarnation="i", signatures=("gtk",)))
    column = feed.told("", 0)["columns"][0]
    assert len(column["masters"]) <= MASTERS_MAX
    assert f"m{3 * MASTERS_MAX - 1}" in column["masters"]
    assert "m0" not in column["masters"]


def test_nothing_is_made_for_what_is_held_back_where_nothing_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for every two seconds: with 5,000 agents that was a hundredth of a core, though nobody looked."""
    feed, looks = make_feed(), []
    monkeypatch.setattr(feed.agents, "look", lambda *_: looks.append(1))
    assert (feed.held_back, looks) == ([], [])
    feed.told("", 0)
    assert looks == [1]


@pytest.mark.parametrize(
    ("title", "builder", "number"),
    [
        ("gtk #12", "gtk", 12),
        ("gtk #12: test", "gtk", 12),
        ("gtk #12: suite #3", "gtk", 12),
        ("gtk #12: suite #3, shard 4", "gtk", 12),
        ("a #1 #12: test", "a #1", 12),
        ("gtk 4 #12", "gtk 4", 12),
        ("", "", None),
    ],
)
def test_what_runs_links_to_its_build(title: str, builder: str, number: int | None) -> None:
    """Also a step's own command, whatever the step and the builder are called."""
    feed = make_feed()
    view = RequestView(request="br-1", state="held", since=1.0, run=1, title=title, builder=builder, session="s")
    machine = SimpleNamespace(requests=lambda: (view,))
    feed._broker.bridge = SimpleNamespace(machine=machine, clients={}, wall=float)
    feed.builders = {"gtk": 1, "a #1": 2, "gtk 4": 3}
    slot = SlotStatus(state="held", session="s", title=title, master="m1", since=1.0)
    agent = {"instance": "i", "agent": "a", "epoch": 1, "address": "agent.u.i.n", "version": "1"}
    feed.hear(Status.model_validate({**agent, "now": 1.0, "state": "ready", "slots": (slot,), "capabilities": ()}))
    link = feed.told("", 0)["agents"][0]["slots"][0]["link"]
    assert (link["builder"], link["number"]) == (feed.builders.get(builder), number)
    known: Any = SimpleNamespace(status=SimpleNamespace(slots=(slot,)), serves=(), takes_work=True, free=0)
    assert [running.builder for running in _machine(known, 2.0, {}).running] == [builder], "a forecast's"
