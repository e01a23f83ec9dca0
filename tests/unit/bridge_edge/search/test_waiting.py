"""What people read while work waits: the words of each case, when they change, and the one warning."""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs
from twisted.internet import defer
from twisted.internet.task import Clock

from contracts.messages import ExpectedStart
from contracts.requirements.sets import Requirements
from master_bridge.buildbot.fleet.view import Outlook
from master_bridge.buildbot.search.notices import NoAgentNotices, WaitingNotice
from master_bridge.buildbot.search.preference import Wanted, preference
from master_bridge.buildbot.search.search import Search
from master_bridge.buildbot.search.seeker import Seeker
from master_bridge.buildbot.search.waiting import Fallback, waiting_text
from master_bridge.core.inputs import Reroute, Seek
from tests.unit.bridge_edge.building import GTK, FakeBroker

#: seconds since the epoch, and how a clock shows them here
NOON = time.mktime((2026, 1, 2, 12, 0, 0, 0, 0, -1))
NOBODY = Outlook(agents=0, qualified=0, busy=0)


def clock(later: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(NOON + later))


def text(outlook: Outlook = NOBODY, **fields: Any) -> str:
    values: dict[str, Any] = {"needs": "gtk>=3", "since": NOON, "state": "waiting", "down": None, **fields}
    return waiting_text(outlook=outlook, **values)


WAITS = "waits for an agent with gtk>=3 since 12:00:00"


@pytest.mark.parametrize(
    ("outlook", "said"),
    [
        (NOBODY, "no agent is alive"),
        (Outlook(agents=3, qualified=1, busy=1), "1 live agent qualifies, 1 busy, 0 idle"),
        (Outlook(agents=3, qualified=3, busy=1), "3 live agents qualify, 1 busy, 2 idle"),
        (
            Outlook(agents=3, qualified=2, busy=0, unfit=("one is paused",)),
            "2 live agents qualify, 0 busy, 2 idle; one is paused",
        ),
        (
            Outlook(agents=2, qualified=0, busy=0, unfit=("one is paused",)),
            "1 live agent offers what is needed, but takes no work: one is paused",
        ),
        (
            Outlook(agents=2, qualified=0, busy=0, unfit=("one is paused", "two is unwell")),
            "2 live agents offer what is needed, but take no work: one is paused; two is unwell",
        ),
        (Outlook(agents=1, qualified=0, busy=0), "none of the live agents qualifies (1 agent is alive)"),
        (
            Outlook(agents=2, qualified=0, busy=0, misses=("one lacks gtk", "two has gtk 2, needs gtk>=3")),
            "none of the live agents qualifies (2 agents are alive); "
            "nearest: one lacks gtk; two has gtk 2, needs gtk>=3",
        ),
    ],
)
def test_the_prospects_are_told(outlook: Outlook, said: str) -> None:
    """With how many agents there are, and what stands in the way."""
    assert text(outlook) == f"{WAITS}: {said}"


def test_any_agent_is_said_in_words() -> None:
    """Where nothing is required."""
    assert text(needs="any") == "waits for any agent since 12:00:00: no agent is alive"
    assert text(needs="anything") == "waits for an agent with anything since 12:00:00: no agent is alive"


@pytest.mark.parametrize(
    ("state", "said"),
    [("window", "asking whether an agent has this build already"), ("granted", "an agent is taking it")],
)
def test_who_is_about_to_have_an_agent_reads_that(state: str, said: str) -> None:
    """Whatever the prospects of others are; no agent is expected who has come."""
    assert text(state=state, expected=ExpectedStart(early=NOON, likely=NOON, late=NOON)) == f"{WAITS}: {said}"


def test_a_broker_out_of_reach_is_the_first_thing_to_know() -> None:
    """Nothing else is known then."""
    said = text(state="granted", down="refused", expected=ExpectedStart(early=NOON, likely=NOON, late=NOON))
    assert said == f"{WAITS}: the broker is out of reach (refused)"


def test_the_expected_start_is_told_while_it_waits() -> None:
    """With how sure it is, and after the prospects."""
    sure = ExpectedStart(early=NOON + 60, likely=NOON + 60, late=NOON + 60)
    assert text(expected=sure) == f"{WAITS}: no agent is alive; expected to start at {clock(60)}"
    some = replace_times(sure, early=NOON + 30, late=NOON + 90)
    assert text(expected=some).endswith(f"; expected to start at {clock(60)} (between {clock(30)} and {clock(90)})")
    assert "expected" not in text(expected=sure, state="window")


def replace_times(start: ExpectedStart, **times: float) -> ExpectedStart:
    return start.model_copy(update=times)


def test_what_will_do_later_is_told_last() -> None:
    """From when on."""
    one = text(later=Fallback(needs="gtk", at=NOON + 20))
    assert one == f"{WAITS}: no agent is alive; from {clock(20)} on one with gtk will do"
    anybody = text(later=Fallback(needs="any", at=NOON + 20))
    assert anybody == f"{WAITS}: no agent is alive; from {clock(20)} on any agent will do"


# ---- when it is said


class Notes:
    """A notice whose texts take as long as a test wants."""

    def __init__(self) -> None:
        self.broker = FakeBroker()
        self.said: list[str] = []
        self.storing: list[defer.Deferred[Any]] = []
        self.notice = WaitingNotice(self.broker, self._say)

    def _say(self, said: str) -> defer.Deferred[Any]:
        self.said.append(said)
        self.storing.append(defer.Deferred())
        return self.storing[-1]

    def refresh(self, state: str) -> None:
        self.notice.refresh(GTK, since=NOON, state=state)


def test_a_text_is_stored_when_it_is_another_one_and_the_last_is_stored() -> None:
    """Each is a transaction of Buildbot's database."""
    notes = Notes()
    notes.refresh("waiting")
    notes.refresh("granted")
    assert len(notes.said) == 1
    notes.storing[0].callback(None)
    notes.refresh("waiting")
    assert len(notes.said) == 1
    notes.refresh("granted")
    assert len(notes.said) == 2
    assert notes.said[1].endswith("an agent is taking it")


def test_a_text_that_cannot_be_stored_keeps_no_other_one() -> None:
    """It is logged; the build goes on."""
    notes = Notes()
    notes.refresh("waiting")
    with capture_logs() as log:
        notes.storing[0].errback(OSError("locked"))
    assert [(entry["event"], entry["reason"]) for entry in log] == [("amqp.waiting_text_not_shown", "locked")]
    notes.refresh("granted")
    assert len(notes.said) == 2


def test_a_notice_asks_for_its_own_prospects_now() -> None:
    """By the clock of the fleet's view, which is monotonic."""
    notes = Notes()
    asked: list[tuple[Requirements, float]] = []
    outlook = notes.broker.fleet.outlook

    def ask(requirements: Requirements, now: float) -> Any:
        asked.append((requirements, now))
        return outlook(requirements, now)

    notes.broker.fleet.outlook = ask
    before = time.monotonic()
    notes.refresh("waiting")
    ((requirements, now),) = asked
    assert requirements == GTK
    assert before <= now <= time.monotonic()


# ---- what a search says of itself


class Seeking:
    """A search that begins at noon, with its broker."""

    def __init__(self, *prefers: str, seal: bool = False) -> None:
        self.broker = FakeBroker()
        self.clock = Clock()
        self.said: list[str] = []
        self.refreshed: list[None] = []
        self.client: Any = SimpleNamespace(request="br-1", refresh=lambda: self.refreshed.append(None))
        search = Search(Wanted(requirements=GTK, preference=preference(["gtk"], prefers, 20.0), seal=seal))
        self.seeker = Seeker(
            broker=self.broker, reactor=self.clock, client=self.client, search=search, seek_of=self._seek, say=self._say
        )
        self.seeker.since = NOON

    def _seek(self) -> Seek:
        return Seek(request="br-1", run=1, kind="build", signature=self.seeker.signature, builddir="b", title="t")

    def _say(self, said: str) -> defer.Deferred[None]:
        self.said.append(said)
        return defer.succeed(None)

    def say(self) -> str:
        self.seeker.refresh()
        return self.said[-1]


def test_a_search_says_what_it_asks_for_and_what_will_do_later() -> None:
    """As long as it prefers."""
    seeking = Seeking("warm")
    seeking.seeker.begin()
    assert seeking.say() == (
        f"waits for an agent with gtk+warm since 12:00:00: 1 live agent qualifies, 0 busy, 1 idle; "
        f"from {clock(20)} on one with gtk will do"
    )
    seeking.clock.advance(20.0)
    assert seeking.say() == "waits for an agent with gtk since 12:00:00: 1 live agent qualifies, 0 busy, 1 idle"
    assert seeking.refreshed == [None]
    assert [type(event) for event in seeking.broker.bridge.fed] == [Seek, Reroute]  # type: ignore[union-attr]


def test_a_search_that_has_not_begun_names_no_time_after_which_others_will_do() -> None:
    """Its seconds have not begun."""
    assert "will do" not in Seeking("warm").say()


def test_a_search_without_a_preference_says_so_in_no_state() -> None:
    """There is nothing that would do later."""
    seeking = Seeking()
    seeking.seeker.begin()
    assert "will do" not in seeking.say()


def test_a_search_says_the_bridges_state_and_forecast_of_its_own_request() -> None:
    """And says that the broker is away."""
    seeking = Seeking()
    assert seeking.seeker.state == "none"
    seeking.seeker.state = "waiting"
    start = ExpectedStart(early=NOON, likely=NOON, late=NOON)
    seeking.broker.page.feed.expected["br-2"] = start
    assert "expected" not in seeking.say()
    seeking.broker.page.feed.expected["br-1"] = start
    assert seeking.say().endswith("; expected to start at 12:00:00")
    seeking.seeker.state = "granted"
    assert seeking.say().endswith(": an agent is taking it")
    seeking.broker.down_reason = "refused"  # type: ignore[assignment]
    assert seeking.say().endswith(": the broker is out of reach (refused)")


def test_a_search_that_must_ask_elsewhere_tells_the_bridge_all_that_changed() -> None:
    """Its queue, and whether its messages are sealed; its alarm is over, its client says so."""
    seeking = Seeking("warm")
    seeking.seeker.begin()
    seeking.seeker.reroute(Requirements.of(["wx"]), True)
    assert seeking.broker.bridge is not None
    assert seeking.broker.bridge.fed[-1] == Reroute(request="br-1", signature="wx", seal=True)
    assert seeking.clock.getDelayedCalls() == []
    assert seeking.refreshed == [None]
    assert (seeking.seeker.signature, seeking.seeker.seal) == ("wx", True)


def test_a_search_without_a_bridge_asks_nobody() -> None:
    """The master starts, or stops."""
    seeking = Seeking()
    seeking.broker.bridge = None
    seeking.seeker.begin()
    seeking.seeker.reroute(Requirements.of(["wx"]), False)
    seeking.seeker.leave(keep=False)
    assert seeking.seeker.over


def test_a_search_that_lost_its_agent_prefers_anew_unless_it_has_waited() -> None:
    """A slot's has not, a step's has."""
    seeking = Seeking("warm")
    for waited, asks in ((None, "gtk+warm"), (True, "gtk")):
        seeking.seeker.begin()
        seeking.seeker.found()
        assert not seeking.seeker.looking
        assert seeking.clock.getDelayedCalls() == []
        seeking.seeker.lost(**({} if waited is None else {"waited": waited}))
        assert seeking.seeker.looking
        assert seeking.seeker.signature == asks


# ---- the warning that nobody qualifies


class Waiter:
    """A worker or a step that waits. `due`: when waiting is worth a warning (seconds since the epoch)."""

    def __init__(self, signature: str = "gtk", due: float | None = 0.0) -> None:
        self.signature = signature
        self.due = due
        self.told: list[str] = []

    def notice_due(self) -> float | None:
        return self.due

    def send_notice(self, told: str) -> None:
        self.told.append(told)


class Notices:
    """The master's, over a fleet that a test sets."""

    def __init__(self) -> None:
        self.notices = NoAgentNotices()
        self.outlook = Outlook(agents=2, qualified=0, busy=0, misses=("one lacks gtk", "two lacks gtk"))
        self.asked: list[tuple[str, float]] = []

    def look(self, *waiters: Any, down: str | None = None) -> None:
        self.notices.look(waiters, SimpleNamespace(outlook=self._outlook), down)  # type: ignore[arg-type]

    def _outlook(self, requirements: Requirements, now: float) -> Outlook:
        self.asked.append((requirements.signature, now))
        return self.outlook


def test_it_tells_once_that_nobody_qualifies_and_who_is_nearest() -> None:
    """However long it lasts, and however many wait for the same; other kinds of workers are passed over."""
    notices, waiter, same = Notices(), Waiter(), Waiter()
    before = time.monotonic()
    for _ in range(3):
        notices.look(object(), waiter, same)
    assert waiter.told == ["no agent offers gtk (2 alive); nearest: one lacks gtk; two lacks gtk"]
    assert same.told == []
    ((signature, now),) = notices.asked
    assert signature == "gtk"
    assert before <= now <= time.monotonic()


def test_without_a_near_miss_it_tells_how_many_there_are() -> None:
    """Nobody, often."""
    notices, waiter = Notices(), Waiter()
    notices.outlook = NOBODY
    notices.look(waiter)
    assert waiter.told == ["no agent offers gtk (0 alive)"]


def test_who_offers_it_and_takes_no_work_is_named_instead() -> None:
    """People look for a machine then, not for a program."""
    notices, waiter = Notices(), Waiter()
    notices.outlook = replace(notices.outlook, unfit=("one is paused",))
    notices.look(waiter)
    assert waiter.told == ["no agent that offers gtk takes work: one is paused"]


def test_each_that_waits_is_looked_at_whatever_the_one_before_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is not due (yet), one that was told of, one for which there is somebody."""
    monkeypatch.setattr(time, "time", lambda: NOON)
    notices = Notices()
    told = Waiter("told")
    notices.look(told)
    last = Waiter("last", due=NOON)
    notices.look(object(), Waiter("a", due=None), Waiter("b", due=NOON + 1), told, last)
    assert last.told == ["no agent offers last (2 alive); nearest: one lacks gtk; two lacks gtk"]
    assert len(told.told) == 1
    qualified, after = Waiter("c"), Waiter("d")
    asked: list[str] = []

    def outlook(requirements: Requirements, now: float) -> Outlook:
        asked.append(requirements.signature)
        return replace(NOBODY, qualified=int(requirements.signature == "c"))

    notices.notices.look([qualified, after], SimpleNamespace(outlook=outlook), None)  # type: ignore[arg-type]
    assert (asked, qualified.told, len(after.told)) == (["c", "d"], [], 1)


def test_who_waits_again_is_told_again() -> None:
    """Once it was gone: the next wait is another one. One that goes on waiting is not told for another's sake."""
    notices, waiter, other = Notices(), Waiter("gtk"), Waiter("wx")
    notices.look(waiter)
    notices.look(waiter, other)
    notices.look(other)
    notices.look(waiter, other)
    assert (len(waiter.told), len(other.told)) == (2, 1)


def test_who_was_looked_at_before_it_was_due_is_told_when_it_is() -> None:
    """It was not told yet."""
    notices, waiter = Notices(), Waiter(due=time.time() + 3600)
    notices.look(waiter)
    assert waiter.told == []
    waiter.due = 0.0
    notices.look(waiter)
    assert len(waiter.told) == 1


def test_without_a_broker_nothing_is_known() -> None:
    """So nobody is warned, and what was told stays told."""
    notices, waiter = Notices(), Waiter()
    notices.look(waiter, down="refused")
    assert waiter.told == []
    notices.look(waiter)
    notices.look(down="refused")
    notices.look(waiter)
    assert len(waiter.told) == 1
