"""What the page knows of agents: states, rows that changed, who is gone."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.messages import Capability, SlotStatus, Status
from contracts.requirements.sets import Requirements
from master_bridge.fleet import agents as module
from master_bridge.fleet.agents import LEAVING_SHOWN, Agents, BuildLink

GTK3 = {"gtk>=3": Requirements.from_signature("gtk>=3")}


def status(name: str = "a", *, account: str = "u", gtk: str = "3.24", held: str | None = None, **more: Any) -> Status:
    slot = SlotStatus(state="held", session=held, title="gtk #1", master="m1", since=1.0) if held else None
    return Status.model_validate(
        {
            "instance": name,
            "agent": name,
            "epoch": 1,
            "address": f"agent.{account}.{name}.n",
            "version": "1",
            "now": 1e9,
            "state": "ready",
            "slots": [slot or SlotStatus(state="idle")],
            "capabilities": [Capability(name="gtk", version=gtk)],
            **more,
        }
    )


def test_a_row_is_told_once_and_again_when_it_changes() -> None:
    agents = Agents()
    agents.hear(status(), 100.0)
    agents.look(GTK3, {})
    (row,) = agents.rows(0)
    assert (row["id"], row["state"], row["serves"]) == ("u/a", "idle", ["gtk>=3"])
    seen = agents.at
    agents.hear(status(), 105.0)
    agents.look(GTK3, {})
    assert agents.rows(seen) == []
    agents.hear(status(held="s"), 110.0)
    agents.look(GTK3, {"s": BuildLink(request="br-7", builder=3, number=1)})
    (row,) = agents.rows(seen)
    assert (row["state"], row["since"]) == ("busy", 110)
    assert row["slots"][0]["link"] == {"request": "br-7", "builder": 3, "number": 1}


def test_a_row_follows_the_build_that_its_session_belongs_to() -> None:
    """The agent may tell of a session before its master knows the build, and may tell nothing new after."""
    agents = Agents()
    for name in ("a", "b"):
        agents.hear(status(name, held=f"s-{name}"), 100.0)
    agents.look(GTK3, {})
    assert [row["slots"][0]["link"] for row in agents.rows(0)] == [None, None]
    seen, link = agents.at, BuildLink(request="br-7", builder=3, number=1)
    agents.look(GTK3, {"s-a": link, "other": link})
    assert [(row["name"], row["slots"][0]["link"]["request"]) for row in agents.rows(seen)] == [("a", "br-7")]
    seen = agents.at
    agents.look(GTK3, {"other": link})
    assert [(row["name"], row["slots"][0]["link"]) for row in agents.rows(seen)] == [("a", None)]


def test_nearest_misses_follow_who_is_there_and_what_they_can_do() -> None:
    agents, gtk4 = Agents(), Requirements.of(["gtk>=4"])
    assert agents.misses(gtk4) == []
    agents.hear(status("a"), 100.0)
    assert agents.misses(gtk4) == ["a has gtk 3.24, needs gtk>=4"]
    agents.hear(status("a", agent="builder7"), 101.0)
    assert agents.misses(gtk4) == ["builder7 has gtk 3.24, needs gtk>=4"]
    agents.hear(status("a", gtk="3.99"), 102.0)
    assert agents.misses(gtk4) == ["a has gtk 3.99, needs gtk>=4"]
    agents.tick(102.0 + status().silent_after + 1)
    assert agents.misses(gtk4) == []
    agents.hear(status("a", gtk="3.99"), 200.0)
    assert len(agents.misses(gtk4)) == 1
    agents.hear(status("a", state="leaving"), 201.0)
    agents.tick(201.0 + LEAVING_SHOWN + 1)
    assert agents.misses(gtk4) == []


@pytest.mark.parametrize(("every", "silent"), [(5, 15.0), (25, 75.0), (60, 180.0)])
def test_an_agent_is_silent_when_three_of_its_own_statuses_have_not_come(every: int, silent: float) -> None:
    """One of a large fleet tells its own less often, and has said so with the last that came."""
    agents = Agents()
    agents.hear(status(), 50.0)
    agents.hear(status(every=every), 100.0)
    agents.tick(100.0 + silent)
    assert [known.state for known in agents] == ["idle"]
    agents.tick(100.0 + silent + 0.1)
    assert [known.state for known in agents] == ["silent"]
    agents.hear(status(every=5), 300.0)
    agents.tick(316.0)
    assert [known.state for known in agents] == ["silent"], "it tells more often again"


def test_what_it_serves_follows_its_capabilities_and_the_columns() -> None:
    agents = Agents()
    agents.hear(status(gtk="2.24"), 1.0)
    agents.look(GTK3, {})
    assert agents.rows(0)[0]["serves"] == []
    agents.hear(status(), 2.0)
    agents.look(GTK3, {})
    assert agents.rows(0)[0]["serves"] == ["gtk>=3"]
    agents.look({}, {})
    assert agents.rows(0)[0]["serves"] == []


def test_silence_and_leaving_are_states_and_then_the_end() -> None:
    agents = Agents()
    agents.hear(status("quiet"), 0.0)
    agents.hear(status("leaver"), 0.0)
    agents.hear(status("leaver", state="leaving"), 1.0)
    agents.tick(16.0)
    agents.look({}, {})
    assert {row["name"]: row["state"] for row in agents.rows(0)} == {"quiet": "silent", "leaver": "leaving"}
    seen = agents.at
    agents.tick(32.0)
    assert agents.gone(seen) == ["u/leaver"]
    quiet = agents.find("u/quiet")
    assert quiet is not None
    assert not quiet.free
    agents.tick(1.0 + module.SILENT_SHOWN)
    assert agents.gone(seen) == ["u/leaver", "u/quiet"]
    assert agents.find("u/quiet") is None


def test_a_silent_agent_that_speaks_is_there_again() -> None:
    agents = Agents()
    agents.hear(status(), 0.0)
    agents.tick(20.0)
    agents.hear(status(), 21.0)
    known = agents.find("u/a")
    assert known is not None
    assert [change[1] for change in known.changes] == ["idle", "silent", "idle"]


def test_late_news_of_an_older_connection_changes_nothing() -> None:
    agents = Agents()
    agents.hear(status(epoch=2), 1.0)
    agents.hear(status(epoch=1, state="leaving"), 2.0)
    agents.look({}, {})
    assert agents.rows(0)[0]["state"] == "idle"


def test_two_accounts_with_one_instance_are_two_agents() -> None:
    agents = Agents()
    agents.hear(status(account="u"), 1.0)
    agents.hear(status(account="thief", state="leaving"), 2.0)
    agents.look({}, {})
    assert {row["id"]: row["state"] for row in agents.rows(0)} == {"u/a": "idle", "thief/a": "leaving"}


def test_agents_are_bounded_and_a_viewer_that_missed_too_much_takes_all_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    bound = 20
    monkeypatch.setattr(module, "AGENTS_MAX", bound)
    agents = Agents()
    for number in range(bound):
        agents.hear(status(f"a{number}"), float(number))
    agents.look({}, {})
    seen = agents.at
    for number in range(bound, 2 * bound + 1):
        agents.hear(status(f"a{number}"), float(number))
    assert len(agents) == bound
    assert agents.gone(seen) is None
    assert agents.find("u/a0") is None


def test_foreign_numbers_and_texts_are_bounded() -> None:
    agents = Agents()
    hostile = status(
        "a",
        agent="\x1b[31m" + "x" * 10_000,
        slots=[SlotStatus(state="held", title="\u202e" * 10_000, since=1.0e300)] * 1_000,
        capabilities=[Capability(name=f"c{number}") for number in range(5_000)],
        reasons=["r" * 5_000] * 100,
        started=-1.0e300,
    )
    agents.hear(hostile, 1.0)
    agents.look({}, {})
    row = agents.rows(0)[0]
    assert row["name"].startswith("\\x1b[31m")
    assert max(len(row["name"]), *map(len, row["reasons"])) <= module.TEXT_SHOWN
    assert (len(row["slots"]), len(row["capabilities"]), len(row["reasons"]), row["capacity"]) == (
        100,
        2_000,
        20,
        1_000,
    )
    assert row["started"] == 0
    assert row["slots"][0]["since"] < 1e12


def test_how_it_was_found_is_kept_while_it_is_not_told() -> None:
    agents = Agents()
    agents.hear(status(found={"gtk": "pkg-config /usr/lib/gtk.pc"}), 1.0)
    agents.hear(status(), 6.0)
    known = agents.find("u/a")
    assert known is not None
    assert known.found == {"gtk": "pkg-config /usr/lib/gtk.pc"}


@pytest.mark.parametrize("shared", [True, False])
def test_of_more_agents_than_are_kept_those_stay_that_are_there(monkeypatch: Any, shared: bool) -> None:
    """One more than there is room for, in turn: none becomes new again, and each status costs as little as before."""
    monkeypatch.setattr(module, "AGENTS_MAX", 10)
    agents = Agents()
    names = [(f"a{number}", "fleet" if shared else f"account{number}") for number in range(12)]
    for turn in range(4):
        for number, (name, account) in enumerate(names):
            agents.hear(status(name, account=account), 5.0 * turn + number / 10)
        agents.look({}, {})
        if turn == 0:
            seen = agents.at
    assert [known.status.instance for known in agents] == [name for name, _ in names[:10]]
    assert (agents.rows(seen), agents.gone(seen)) == ([], [])
    for number, (name, account) in enumerate(names[1:]):  # the first one is silent
        agents.hear(status(name, account=account), 31.0 + number / 10)
    for name, account in names[1:]:
        agents.hear(status(name, account=account), 33.0)
    assert agents.find(f"{names[0][1]}/a0") is None
    assert agents.find(f"{names[10][1]}/a10") is not None
    assert len(agents) == 10


def test_two_accounts_that_are_too_many_share_the_room(monkeypatch: Any) -> None:
    """The larger one gives way until they have as many, and then nobody does."""
    monkeypatch.setattr(module, "AGENTS_MAX", 10)
    agents = Agents()

    def tell(account: str, number: int, now: float) -> None:
        for each in range(number):
            agents.hear(status(f"{account}{each}", account=account), now)

    tell("a", 9, 0.0)
    for turn in range(6):
        tell("b", 9, 2.0 * turn + 1)
        tell("a", 9, 2.0 * turn + 2)
    own = sorted(known.id for known in agents)
    assert 4 <= sum(each.startswith("a/") for each in own) <= 6
    seen = agents.at
    tell("b", 9, 13.5)
    tell("a", 9, 14.0)
    assert (sorted(known.id for known in agents), agents.at) == (own, seen)


def test_an_account_that_floods_hides_none_but_its_own(monkeypatch: Any) -> None:
    """Each status may name another instance: what must go is of the account that has the most."""
    monkeypatch.setattr(module, "AGENTS_MAX", 10)
    agents = Agents()
    for number in range(3):
        agents.hear(status(f"honest{number}", account="honest"), float(number))
    for number in range(100):
        agents.hear(status(f"x{number}", account="mallory"), 100.0 + number)
    assert len(agents) == 10
    assert [known.id for known in agents if known.id.startswith("honest/")] == [f"honest/honest{n}" for n in range(3)]
    assert agents.find("mallory/x99") is not None


def states(agents: Agents) -> dict[str, str]:
    return {known.status.instance: known.state for known in agents}


def test_one_that_said_it_would_tell_more_often_is_silent_sooner() -> None:
    agents = Agents()
    agents.hear(status(every=60), 100.0)
    agents.hear(status(every=5), 101.0)
    agents.tick(116.0)
    assert states(agents) == {"a": "idle"}
    agents.tick(116.1)
    assert states(agents) == {"a": "silent"}


def test_a_clock_that_was_set_back_hides_nobodys_silence() -> None:
    agents = Agents()
    for name in ("a", "b"):
        agents.hear(status(name), 5_000.0)
    agents.hear(status("b"), 100.0)
    agents.tick(116.0)
    assert states(agents) == {"a": "idle", "b": "silent"}
    agents.tick(5_016.0)
    assert states(agents) == {"a": "silent", "b": "silent"}


def test_of_thousands_only_those_are_looked_at_whose_time_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A master looks every two seconds: what it looks at each time must not be all agents."""
    looks = 0

    def is_silent(known: module.Known, now: float) -> bool:
        nonlocal looks
        looks += 1
        return real(known, now)

    real = module.Known.is_silent
    monkeypatch.setattr(module.Known, "is_silent", is_silent)
    agents = Agents()
    for second in range(0, 300, 5):
        for number in range(200):
            agents.hear(status(f"a{number}", every=20), float(second))
        agents.tick(second + 0.5)
    assert set(states(agents).values()) == {"idle"}
    assert looks <= 200 * 300 / 60  # of each once in three of its intervals
    agents.tick(400.0)
    assert set(states(agents).values()) == {"silent"}
    looks = 0
    for second in range(400, 80_000, 100):
        agents.tick(float(second))
    assert looks == 0
    agents.tick(295.0 + module.SILENT_SHOWN + 1)
    assert len(agents) == 0


def test_of_an_agent_that_tells_the_same_nothing_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nearly all that thousands tell, every few seconds."""
    agents = Agents()
    made: list[str] = []
    make = module._row
    monkeypatch.setattr(module, "_row", lambda known, links: made.append(known.id) or make(known, links))
    for name in ("a", "b"):
        agents.hear(status(name), 100.0)
    agents.look(GTK3, {})
    assert made == ["u/a", "u/b"]
    agents.hear(status("a"), 105.0)
    agents.hear(status("b", gtk="4.0"), 105.0)
    agents.look(GTK3, {})
    assert made == ["u/a", "u/b", "u/b"]


def test_a_row_says_what_runs_where() -> None:
    """Slots that are idle are counted, not shown; of a claim there is no session yet."""
    slots = [
        SlotStatus(state="held", session="s", title="gtk #1", master="m1", since=7.0),
        SlotStatus(state="claiming", since=8.0),
        SlotStatus(state="idle"),
    ]
    agents = Agents()
    link = BuildLink(request="br-1", builder=3, number=1)
    agents.hear(status(slots=slots), 100.0)
    agents.look({}, {"s": link})
    (row,) = agents.rows(0)
    shown = {"request": "br-1", "builder": 3, "number": 1}
    assert row["slots"] == [
        {"state": "held", "title": "gtk #1", "master": "m1", "since": 7, "link": shown},
        {"state": "claiming", "title": "", "master": "", "since": 8, "link": None},
    ]
    assert row["capabilities"] == [["gtk", "3.24"]]
    assert row["heard"] is None
    agents.tick(1_000.0)
    agents.look({}, {"s": link})
    assert agents.rows(0)[0]["heard"] == 100


def test_one_that_is_silent_gives_way_to_an_account_with_no_more_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no account has more than the one that wants a place; an account with fewer keeps what it has."""
    monkeypatch.setattr(module, "AGENTS_MAX", 5)
    agents = Agents()
    agents.hear(status("u1", account="u"), 0.0)  # of two accounts with as many the one that came first is the largest
    agents.hear(status("v1", account="v"), 0.0)
    for account, name in (("u", "u1"), ("u", "u2"), ("v", "v2"), ("w", "w1")):
        agents.hear(status(name, account=account), 100.0)
    agents.hear(status("u3", account="u"), 100.0)
    assert sorted(known.status.instance for known in agents) == ["u1", "u2", "u3", "v2", "w1"]
    for account, name in (("u", "u1"), ("u", "u2"), ("u", "u3"), ("v", "v2")):
        agents.hear(status(name, account=account), 200.0)
    agents.hear(status("u4", account="u"), 200.0)
    assert sorted(known.status.instance for known in agents) == ["u1", "u2", "u3", "v2", "w1"], (
        "w1 is silent, and u's all"
    )
