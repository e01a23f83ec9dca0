"""The fleet as seen by a waiting build."""

from __future__ import annotations

import re
import time
from types import SimpleNamespace
from typing import Any

import pytest

from contracts.messages import Capability, Catalogue, ExpectedStart, SlotStatus, Status
from contracts.requirements.sets import Requirements
from master_bridge.buildbot.fleet.view import FORGET_AFTER, MASTERS_MAX, FleetView, Outlook
from master_bridge.buildbot.search.notices import NoAgentNotices
from master_bridge.buildbot.search.waiting import Fallback, waiting_text


def status(agent: str, *capabilities: str, busy: bool = False, state: Any = "ready", reasons: Any = ()) -> Status:
    return Status(
        instance=f"i-{agent}",
        agent=agent,
        epoch=1,
        address=f"agent.u.{agent}.n",
        version="1",
        now=0.0,
        state=state,
        reasons=reasons,
        slots=(SlotStatus(state="held" if busy else "idle"),),
        capabilities=tuple(
            Capability(name=name, version=version or None)
            for name, _, version in (text.partition("=") for text in capabilities)
        ),
    )


def test_outlook_counts_and_names_the_nearest() -> None:
    """Who qualifies, who is busy; where nobody qualifies, what the nearest lack."""
    fleet = FleetView()
    assert fleet.hear(status("one", "gtk=2.24"), 0.0)
    assert not fleet.hear(status("one", "gtk=2.24"), 1.0)
    fleet.hear(status("two", "gtk=3.24", busy=True), 1.0)
    fleet.hear(status("three", "gtk=3.24"), 1.0)
    fleet.hear(status("four", "gtk=3.24", state="draining"), 1.0)
    assert fleet.outlook(Requirements.of(["gtk>=3"]), 1.0) == Outlook(
        agents=4, qualified=2, busy=1, unfit=("four is draining",)
    )
    none = fleet.outlook(Requirements.of(["gtk>=4"]), 1.0)
    assert none.qualified == 0
    assert none.misses == ("3 agents have gtk 3.24, need gtk>=4", "one has gtk 2.24, needs gtk>=4")


@pytest.mark.parametrize("state", ["unwell", "paused", "draining"])
def test_an_agent_that_takes_no_work_is_named_with_its_reasons(state: str) -> None:
    """It qualifies, so "none of the live agents qualifies" would send people to look for capabilities."""
    fleet = FleetView()
    fleet.hear(
        status("one", "gtk=3", state=state, reasons=("disk: 5 MiB left", "clock\n\x1b[31m off" + 300 * "!")), 0.0
    )
    outlook = fleet.outlook(Requirements.of(["gtk>=3"]), 0.0)
    assert (outlook.qualified, outlook.misses) == (0, ())
    text = waiting_text(needs="gtk>=3", since=0.0, outlook=outlook, state="waiting", down=None)
    expected = f"but takes no work: one is {state} (disk: 5 MiB left; clock\\n\\x1b[31m off"
    assert expected in text
    assert text.endswith("!…)")
    assert text.isprintable()
    told: list[str] = []
    waiter = SimpleNamespace(notice_due=lambda: 0.0, signature="gtk>=3", send_notice=told.append)
    fleet.hear(status("one", "gtk=3", state=state), time.monotonic())
    NoAgentNotices().look([waiter], fleet, None)
    assert told == [f"no agent that offers gtk>=3 takes work: one is {state}"]
    for name in ("two", "three", "four"):
        fleet.hear(status(name, "gtk=3", state=state), 0.0)
    fleet.hear(status("five", "gtk=3"), 0.0)
    text = waiting_text(
        needs="gtk>=3", since=0.0, outlook=fleet.outlook(Requirements.of(["gtk>=3"]), 0.0), state="waiting", down=None
    )
    assert re.search(rf"1 live agent qualifies, 0 busy, 1 idle; four is {state}; .*; and 1 more$", text)


def test_silent_agents_and_masters_are_forgotten() -> None:
    """After three missed status messages an agent is not counted; one that says good-bye goes at once."""
    fleet = FleetView()
    fleet.hear(status("one", "gtk"), 0.0)
    fleet.hear(status("two", "gtk"), 10.0)
    fleet.hear(Catalogue(master="m2", incarnation="i", signatures=("gtk",)), 0.0)
    assert fleet.other_masters_want("gtk", "m1", 1.0)
    assert not fleet.other_masters_want("gtk", "m2", 1.0)
    later = FORGET_AFTER + 1.0
    assert [item.agent for item in fleet.agents(later)] == ["two"]
    assert not fleet.other_masters_want("gtk", "m1", later)
    fleet.hear(status("two", "gtk", state="leaving"), later)
    assert list(fleet.agents(later)) == []


def test_an_agent_that_tells_less_often_is_known_for_longer() -> None:
    """As it said in its last status: one of a large fleet (rule 27). Nobody is for more than three minutes."""
    fleet = FleetView()
    for name, every in (("five", 5), ("ten", 10), ("sixty", 60)):
        fleet.hear(status(name).model_copy(update={"every": every}), 0.0)
    for now, known in (
        (15.0, ["five", "sixty", "ten"]), (15.1, ["sixty", "ten"]), (30.1, ["sixty"]), (180.0, ["sixty"]), (180.1, []),
    ):  # fmt: skip
        assert [each.agent for each in fleet.agents(now)] == known


def test_texts() -> None:
    """For what and since when in every case, and what stands in the way."""

    def text(outlook: Outlook, state: str = "waiting", down: str | None = None) -> str:
        return waiting_text(needs="gtk>=3", since=0.0, outlook=outlook, state=state, down=down)

    idle = text(Outlook(agents=3, qualified=2, busy=1))
    assert idle.startswith("waits for an agent with gtk>=3 since ")
    assert idle.endswith("2 live agents qualify, 1 busy, 1 idle")
    assert "no agent is alive" in text(Outlook(agents=0, qualified=0, busy=0))
    missed = text(Outlook(agents=1, qualified=0, busy=0, misses=("b7 has gtk 2.24, needs gtk>=3",)))
    assert "1 agent is alive" in missed
    assert "nearest: b7 has gtk 2.24, needs gtk>=3" in missed
    later = Fallback(needs="gtk", at=0.0)
    preferring = waiting_text(
        needs="gtk+warm", since=0.0, outlook=Outlook(agents=0, qualified=0, busy=0), state="", down=None, later=later
    )
    assert re.search(r"no agent is alive; from \d\d:\d\d:\d\d on one with gtk will do$", preferring)
    assert "out of reach (refused)" in text(Outlook(agents=0, qualified=0, busy=0), down="refused")


def test_the_expected_start_is_told_with_its_uncertainty() -> None:
    """By the clock, so that it stays the same text; not where nobody can know it."""
    busy = Outlook(agents=1, qualified=1, busy=1)

    def text(state: str, down: str | None, expected: ExpectedStart) -> str:
        return waiting_text(needs="gtk", since=0.0, outlook=busy, state=state, down=down, expected=expected)

    some = ExpectedStart(early=60.0, likely=120.0, late=300.0)
    clock = r"\d\d:\d\d:\d\d"
    assert re.search(
        rf"0 idle; expected to start at {clock} \(between {clock} and {clock}\)$", text("waiting", None, some)
    )
    sure = ExpectedStart(early=60.0, likely=60.0, late=60.0)
    assert re.search(rf"0 idle; expected to start at {clock}$", text("waiting", None, sure))
    for state, down in (("granted", None), ("window", None), ("waiting", "refused")):
        assert "expected" not in text(state, down, some)


def of_account(user: str, status: Status) -> Status:
    return status.model_copy(update={"address": f"agent.{user}.{status.instance}.n"})


def test_nobody_takes_the_place_of_another_accounts_agent() -> None:
    """A stolen account may tell any instance and any name."""
    fleet = FleetView()
    fleet.hear(of_account("alice", status("one", "gtk=3.24")), 0.0)
    fleet.hear(of_account("mallory", status("one", state="leaving")), 1.0)
    fleet.hear(of_account("mallory", status("one", state="unwell")), 1.0)
    assert [(each.address.split(".")[1], each.state) for each in fleet.agents(1.0)] == [
        ("alice", "ready"), ("mallory", "unwell"),
    ]  # fmt: skip


def test_what_one_account_tells_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """In agents and in facts of theirs; others are seen as ever."""
    monkeypatch.setattr("master_bridge.buildbot.fleet.view.ACCOUNT_AGENTS", 3)
    monkeypatch.setattr("master_bridge.buildbot.fleet.view.ACCOUNT_FACTS", 5)
    fleet = FleetView()
    for number in range(10):
        fleet.hear(of_account("mallory", status(f"m{number}")), 0.0)
    fleet.hear(of_account("eve", status("big", *(f"c{number}" for number in range(6)))), 0.0)
    fleet.hear(of_account("alice", status("one", "gtk")), 0.0)
    assert [each.agent for each in fleet.agents(0.0)] == ["m0", "m1", "m2", "one"]


def test_silent_agents_take_no_room_from_those_that_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of machines that are thrown away without a good-bye, while nobody asks what the fleet can do."""
    monkeypatch.setattr("master_bridge.buildbot.fleet.view.ACCOUNT_AGENTS", 3)
    fleet = FleetView()
    for number in range(3):
        assert fleet.hear(of_account("ci", status(f"m{number}")), 0.0)
    assert not fleet.hear(of_account("ci", status("late")), 15.0)
    assert not fleet.hear(of_account("ci", status("late")), 15.5), "silent, but it was looked a moment ago"
    assert fleet.hear(of_account("ci", status("late")), 16.0)
    assert [each.agent for each in fleet.agents(16.0)] == ["late"]


def test_masters_of_former_names_are_forgotten() -> None:
    """One in a container has a new name at each start; and no account makes this one remember more than so many."""
    fleet = FleetView()
    for number in range(10):
        at = number * (FORGET_AFTER + 1.0)
        fleet.hear(Catalogue(master=f"m{number}", incarnation="i", signatures=("gtk",)), at)
        assert fleet.other_masters_want("gtk", "own", at)
        assert len(fleet._masters) == 1
    for number in range(MASTERS_MAX + 10):
        fleet.hear(Catalogue(master=f"m{number}", incarnation="i", signatures=("qt",)), at)
    assert len(fleet._masters) <= MASTERS_MAX
    assert fleet.other_masters_want("qt", "own", at)


def test_what_an_account_tells_is_counted_as_its_agents_come_change_and_go() -> None:
    """The bound holds for what is there now, not for all that ever was."""
    fleet = FleetView()
    many = tuple(Capability(name=f"c{number}") for number in range(1_000))

    def tell(number: int, capabilities: tuple[Capability, ...], state: str = "ready", at: float = 0.0) -> bool:
        one = status(f"a{number}", state=state).model_copy(update={"instance": f"i{number}"})
        return fleet.hear(one.model_copy(update={"capabilities": capabilities}), at)

    for _ in range(3):
        assert [tell(number, many) for number in range(200)] == [True] * 200
        assert not tell(200, many), "200,000 facts are there"
        assert not tell(0, many), "known"
        tell(0, ())
        assert tell(200, many)
        for number in range(201):
            tell(number, (), "leaving")
        assert list(fleet.agents(0.0)) == []
    assert tell(0, many)
    assert list(fleet.agents(FORGET_AFTER + 1.0)) == []
    assert [tell(number, many, at=100.0) for number in range(200)] == [True] * 200


def test_an_outlook_compares_no_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with each, that was 0.7 s of processor time with 1,000 agents that qualify, once a second."""
    fleet, gtk = FleetView(), Requirements.of(["gtk"])
    for number in range(20):
        fleet.hear(status(f"a{number}", "gtk", state="paused" if number % 2 else "ready"), 0.0)
    compared: list[Any] = []
    monkeypatch.setattr(Status, "__eq__", lambda *both: compared.append(both))
    outlook = fleet.outlook(gtk, 0.0)
    assert (outlook.qualified, len(outlook.unfit)) == (10, 10)
    assert not compared


def test_an_outlook_is_made_anew_after_a_second() -> None:
    """Hundreds of builds wait for the same; each asks every two seconds."""
    fleet, gtk = FleetView(), Requirements.of(["gtk"])
    assert fleet.outlook(gtk, 1.0).agents == 0
    fleet.hear(status("one", "gtk"), 1.1)
    assert fleet.outlook(gtk, 1.2).agents == 0
    assert fleet.outlook(gtk, 2.1) == Outlook(agents=1, qualified=1, busy=0)
