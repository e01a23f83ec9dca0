"""What follows from one thing that happens, all of it and nothing else."""

from __future__ import annotations

import pytest

from contracts.messages import Grant, Hold, Ping, Refuse, Replay, RollCall, Stored
from contracts.timing import (
    ACCEPT_TIMEOUT,
    LINK_UP_SETTLING,
    ORPHAN_IDLE,
    ORPHAN_RUNNING,
    PING_INTERVAL,
    REPLAY_INTERVAL,
    STORED_EVERY,
    STORED_EVERY_BYTES,
)
from master_bridge.core.actions import Ack, CheckRequest, DeadLetter, Deliver, Send, SendMarker, StateChanged
from master_bridge.core.context import MARKER_RESEND
from master_bridge.core.inputs import Keep, LinkBlocked, LinkDown, LinkUp, RequestChecked, Reroute, StartCommand
from master_bridge.core.presence import CLONES_MAX
from master_bridge.core.rollcall import ACCOUNT_BYTES, RECHECK
from tests.unit.bridge_core.scene import MAKE, TICKETS, Agent, Scene, executing, sent

ROLL_CALL = RollCall(master="m", incarnation="inc-1")


def grants(scene: Scene) -> list[tuple[str, str]]:
    """Of the last thing: session and address."""
    found = [(send.message, send.address) for send in sent(scene.last, Send)]
    return [(message.session, address) for message, address in found if isinstance(message, Grant)]


# ---- an accept of a grant that an earlier incarnation made


def test_a_late_accept_of_a_request_that_waits_calls_its_agent() -> None:
    """It may have the session no more: it resumes, and says what it is."""
    scene = Scene()
    scene.offered()
    late = Agent("late")
    delivery = scene.says(late, late.accept("inc-0"))
    assert scene.last == [Send(message=ROLL_CALL, address=late.address), Ack(delivery=delivery)]
    assert scene.state() == "waiting"


def test_a_late_accept_of_a_request_that_another_holds_is_refused() -> None:
    """As a resume, which it stands for; and so is whatever it says from then on."""
    scene = Scene()
    scene.held(Agent("a"))
    late = Agent("late")
    for reason in ("another session holds its build request", "this session was given up"):
        delivery = scene.says(late, late.accept("inc-0"))
        refuse = Refuse(session="s-late", master="m", re="resume", reason=reason)
        assert scene.last == [Send(message=refuse, address=late.address), Ack(delivery=delivery)]


def test_a_late_accept_of_what_nobody_asked_for_is_noted() -> None:
    """Its request is looked up, and it is held for whoever asks."""
    scene = Scene()
    scene.settle()
    late = Agent("late")
    delivery = scene.says(late, late.accept("inc-0"))
    assert scene.last == [CheckRequest(request="br-1")]
    scene.seek(run=2)
    assert Send(message=ROLL_CALL, address=late.address) in scene.last, "it has not told what it is"
    assert delivery not in scene.acked()


# ---- the roll


def test_of_equal_runs_the_one_that_was_granted_last_is_adopted() -> None:
    """That this incarnation granted it counts as much as a ticket that says so."""
    scene = Scene()
    kept = scene.held(Agent("a"))
    scene.do(Keep(request="br-1"))
    other = Agent("z")
    other.made = 1e9
    scene.says(other, other.resume(executing(1)))
    scene.seek(run=2)
    assert grants(scene) == [(kept.session, kept.address)]


def test_who_is_asked_for_anew_keeps_its_agent() -> None:
    """Buildbot did not say that it had done with it, as after an error of its own."""
    scene = Scene()
    kept = scene.held(Agent("a"))
    scene.seek(run=2)
    assert grants(scene) == [(kept.session, kept.address)]
    assert scene.state() == "granted"


def test_of_two_sessions_of_a_request_the_other_one_stays() -> None:
    """Where one says that it is over."""
    scene, first, other = Scene(), Agent("a"), Agent("z")
    for agent in (first, other):
        scene.says(agent, agent.resume(executing()))
    scene.says(first, first.gone("lost"))
    scene.settle()
    scene.seek()
    assert grants(scene) == [(other.session, other.address)]


def test_nothing_falls_due_because_the_broker_takes_messages_again() -> None:
    """A grant has its time for an accept, and a noted session its time to the next look, anew."""
    scene, granted, noted = Scene(), Agent("a"), Agent("z", request="br-2")
    scene.says(granted, granted.claim(scene.offered()))
    assert scene.to(granted) == ["grant"]
    scene.says(noted, noted.resume())
    scene.do(RequestChecked(request="br-2", complete=False))
    for blocked in (True, False):
        scene.do(LinkBlocked(blocked=blocked))
    assert scene.to(granted) == ["ping"]
    assert sent(scene.last, CheckRequest) == []
    scene.wait(RECHECK)
    assert CheckRequest(request="br-2") in sent(scene.all, CheckRequest)


def test_who_was_granted_it_comes_before_who_was_only_offered_it() -> None:
    """However much later that was."""
    scene = Scene()
    scene.settle()
    granted, offered = (Agent(name, request="br-1/step-1") for name in ("a", "z"))
    granted.made = 0.5
    scene.says(granted, granted.resume())
    scene.says(offered, offered.resume(ticket=offered.offered))
    scene.seek("br-1/step-1", run=2, kind="command", commands=(MAKE,))
    assert grants(scene) == [(granted.session, granted.address)]


def test_of_equal_sessions_the_one_that_executed_more_is_adopted() -> None:
    """Less is run again."""
    scene = Scene()
    scene.settle()
    more, less = Agent("a"), Agent("z")
    scene.says(more, more.resume(executing(1)))
    scene.says(less, less.resume())
    scene.seek(run=2)
    assert grants(scene) == [(more.session, more.address)]
    refused = [send.message for send in sent(scene.last, Send) if isinstance(send.message, Refuse)]
    assert [message.reason for message in refused] == ["run 1 of this build request is held by agent a"]


def test_a_state_is_told_once() -> None:
    """To whoever shows it."""
    scene = Scene()
    agent = scene.held(Agent("a"))
    before = len(sent(scene.all, StateChanged))
    scene.says(agent, agent.accept())
    scene.wait(30.0)
    scene.relink()
    scene.says(agent, agent.accept())
    assert len(sent(scene.all, StateChanged)) == before


def test_the_roll_is_closed_by_one_marker() -> None:
    """Which is back: no further one is sent."""
    scene = Scene()
    scene.settle()
    assert sent(scene.wait(60.0), SendMarker) == []


def test_what_was_kept_of_a_session_goes_with_the_link() -> None:
    """Its delivery is the broker's again: the next one is kept, and none is acknowledged."""
    scene, agent = Scene(), Agent("a")
    scene.says(agent, agent.resume())
    scene.relink()
    scene.says(agent, agent.resume())
    assert scene.acked() == []


def test_two_sessions_of_a_request_are_one_question() -> None:
    """To Buildbot, until it has answered."""
    scene = Scene()
    for name in ("a", "z"):
        agent = Agent(name)
        scene.says(agent, agent.resume())
    assert sent(scene.all, CheckRequest) == [CheckRequest(request="br-1")]


def test_a_question_that_was_not_answered_is_asked_again() -> None:
    """The database may have failed; nobody would ask for the request's end otherwise."""
    scene, agent = Scene(), Agent("a")
    scene.says(agent, agent.resume())
    scene.wait(RECHECK)
    assert sent(scene.all, CheckRequest) == [CheckRequest(request="br-1")] * 2


def test_a_session_that_was_gone_is_refused_when_it_is_there_again() -> None:
    """Its request may have another agent by then."""
    scene, agent = Scene(), Agent("a")
    scene.says(agent, agent.resume())
    scene.says(agent, agent.gone("lost"))
    scene.says(agent, agent.resume())
    assert scene.to(agent) == ["refuse"]


def test_of_equal_grants_the_one_that_told_what_it_is_is_adopted() -> None:
    """Of the other nobody knows what it can."""
    scene = Scene()
    scene.settle()
    told, late = Agent("a"), Agent("z")
    scene.says(told, told.resume())
    scene.says(late, late.accept("inc-0"))
    scene.seek(run=2)
    assert grants(scene) == [(told.session, told.address)]


def test_who_waits_and_is_kept_leaves_its_noted_sessions_to_be_looked_up() -> None:
    """Nobody asks for them any more, for all that is known."""
    scene, agent = Scene(), Agent("a")
    scene.seek()
    scene.says(agent, agent.resume(executing()))
    assert sent(scene.last, CheckRequest) == []
    scene.do(Keep(request="br-1"))
    assert sent(scene.last, CheckRequest) == [CheckRequest(request="br-1")]


def test_what_is_kept_belongs_to_no_request_until_it_is_asked_for() -> None:
    """What its agent says is a noted session's."""
    scene = Scene()
    agent = scene.held(Agent("a"), commands=[MAKE])
    scene.do(Keep(request="br-1"))
    scene.do(RequestChecked(request="br-1", complete=False))
    delivery = scene.says(agent, agent.event(1, kind="started"))
    assert scene.last == [Ack(delivery=delivery)]
    scene.says(agent, agent.resume(executing(1)))
    hold = Hold(session="s-a", master="m", request="br-1")
    assert sent(scene.last, Send) == [Send(message=hold, address=agent.address)]


def test_what_a_lost_link_delivered_of_a_noted_session_is_not_acknowledged() -> None:
    """The broker delivers it again, by another number."""
    scene = Scene()
    scene.settle()
    agent = Agent("a")
    void = scene.says(agent, agent.resume())
    scene.relink()
    scene.do(RequestChecked(request="br-1", complete=True))
    assert [send.message.t for send in sent(scene.last, Send)] == ["refuse"]  # type: ignore[attr-defined]
    assert void not in scene.acked()


def test_after_each_link_up_what_is_noted_is_looked_up_again_before_its_time_is_over() -> None:
    """The link was away for longer than anybody waits for it: its request may be asked for just now."""
    scene = Scene()
    scene.settle()
    agent = Agent("a")
    scene.says(agent, agent.resume())
    scene.do(RequestChecked(request="br-1", complete=False))
    scene.do(LinkDown())
    scene.wait(2 * ORPHAN_IDLE)
    scene.do(LinkUp())
    assert sent(scene.wait(RECHECK - 1.0), CheckRequest) == []
    assert scene.state() == "unasked"
    assert sent(scene.wait(1.0), CheckRequest) == [CheckRequest(request="br-1")]
    assert scene.state() == "none"


@pytest.mark.parametrize(("completed", "seconds"), [(True, ORPHAN_IDLE), (False, ORPHAN_RUNNING)])
def test_what_is_kept_waits_as_long_as_what_runs_in_it_is_worth(completed: bool, seconds: float) -> None:
    """Five minutes, or a day where a command runs."""
    scene = Scene()
    agent = scene.held(Agent("a"), commands=[MAKE])
    if completed:
        scene.says(agent, agent.event(1, kind="completed"))
    scene.do(Keep(request="br-1"))
    scene.do(RequestChecked(request="br-1", complete=False))
    assert "refuse" not in [send.message.t for send in sent(scene.wait(seconds - 1.0), Send)]  # type: ignore[attr-defined]
    refuse = Refuse(session="s-a", master="m", re="resume", reason="nobody asked for its build request in time")
    assert sent(scene.wait(2.0), Send)[:1] == [Send(message=refuse, address=agent.address)]


def test_a_noted_session_that_is_heard_twice_is_acknowledged_twice() -> None:
    """When it is over, and no earlier: whoever comes next is to hear of it."""
    scene = Scene()
    scene.settle()
    agent = Agent("a")
    first = scene.says(agent, agent.resume())
    second = scene.says(agent, agent.resume())
    assert scene.acked() == [first]
    scene.do(RequestChecked(request="br-1", complete=True))
    assert scene.acked() == [second]


def test_a_noted_session_is_gone_when_its_connection_says_so_or_a_later_one() -> None:
    """One of the same epoch is no earlier one."""
    for epoch, there in ((1, False), (2, False), (0, True)):
        scene = Scene()
        scene.settle()
        agent = Agent("a")
        scene.says(agent, agent.resume())
        elsewhere = agent.gone().model_copy(update={"address": f"agent.{agent.user}.i-a.x", "epoch": epoch})
        scene.says(agent, elsewhere)
        assert bool(scene.machine.requests()) is there


# ---- a session


def test_what_nobody_looks_for_begins_with_command_one() -> None:
    assert Scene().machine.next_n("br-1") == 1


def test_what_is_stored_is_told_soon_after_the_first_event_however_many_follow() -> None:
    """A time that began is not begun again."""
    scene = Scene()
    agent = scene.held(Agent("a"), commands=[MAKE])
    scene.wait(PING_INTERVAL - (scene.now % PING_INTERVAL) + 0.01)
    told = []
    for seq in (1, 2, 3):
        scene.says(agent, agent.event(seq))
        scene.store(agent, seq)
        told += [send.message for send in sent(scene.wait(0.45 * STORED_EVERY), Send)]
    assert told == [Stored(session="s-a", incarnation="inc-1", stored=3)]


def test_what_was_told_at_once_is_not_told_again_when_its_time_comes() -> None:
    """So many bytes are told at once, though a time has begun for fewer."""
    scene = Scene()
    agent = scene.held(Agent("a"), commands=[MAKE])
    scene.wait(PING_INTERVAL - (scene.now % PING_INTERVAL) + 0.01)
    scene.says(agent, agent.event(1))
    scene.store(agent, 1)
    assert not sent(scene.last, Send)
    scene.says(agent, agent.event(2, data=b"x" * STORED_EVERY_BYTES))
    scene.store(agent, 2)
    stored = Stored(session="s-a", incarnation="inc-1", stored=2)
    assert sent(scene.last, Send) == [Send(message=stored, address=agent.address)]
    assert not sent(scene.wait(2 * STORED_EVERY), Send)


def test_a_grant_that_was_accepted_is_not_repeated() -> None:
    scene = Scene()
    scene.held(Agent("a"))
    assert "grant" not in [send.message.t for send in sent(scene.wait(3 * ACCEPT_TIMEOUT), Send)]  # type: ignore[attr-defined]


def test_what_an_earlier_epoch_says_from_the_same_address_is_done_with() -> None:
    """It changes nothing."""
    scene = Scene()
    agent = scene.held(Agent("a"))
    agent.epoch = 2
    scene.says(agent, agent.resume())
    late = agent.resume().model_copy(update={"epoch": 1})
    delivery = scene.says(agent, late)
    assert scene.last == [Ack(delivery=delivery)]


def test_a_ping_ends_the_time_of_what_it_tells() -> None:
    """Nothing else tells it."""
    scene = Scene()
    agent = scene.held(Agent("a"), commands=[MAKE])
    scene.wait(PING_INTERVAL - (scene.now % PING_INTERVAL) - STORED_EVERY / 2)
    scene.says(agent, agent.event(1))
    scene.store(agent, 1)
    told = [send.message for send in sent(scene.wait(2 * STORED_EVERY), Send)]
    assert told == [Ping(session="s-a", incarnation="inc-1", stored=1)]


def test_who_is_given_up_is_refused_where_it_was() -> None:
    """Should it come back: with the reason."""
    scene = Scene()
    agent = scene.held(Agent("a"))
    scene.wait(LINK_UP_SETTLING)
    scene.vanish(agent)
    (send,) = [each for each in sent(scene.wait(30.0), Send) if isinstance(each.message, Refuse)]
    assert (send.address, send.message.reason) == (agent.address, "agent a did not answer for 5 s")  # type: ignore[attr-defined]


def test_an_earlier_connection_that_says_gone_is_acknowledged_and_no_more() -> None:
    """So is whatever else it says."""
    scene = Scene()
    older, newer = scene.held(Agent("a")), Agent("a")
    newer.epoch = 2
    scene.says(newer, newer.resume())
    delivery = scene.says(older, older.gone())
    assert scene.last == [Ack(delivery=delivery)]
    delivery = scene.says(older, older.resume())
    assert Ack(delivery=delivery) in scene.last


def test_a_claim_that_waits_for_the_roll_call_is_refused_when_its_request_is_sought_elsewhere() -> None:
    scene = Scene()
    offer = scene.offered("br-1/step-1", kind="command", commands=(MAKE,))
    scene.relink()
    agent = Agent("a", request="br-1/step-1")
    delivery = scene.says(agent, agent.claim(offer))
    scene.do(Reroute(request="br-1/step-1", signature="wx", seal=False))
    refuse = Refuse(session="s-a", master="m", re="claim", reason="a newer offer has replaced this one")
    assert scene.last[:2] == [Send(message=refuse, address=agent.address), Ack(delivery=delivery)]


def test_an_account_that_is_full_is_refused_and_remembered_so() -> None:
    """What it sends goes aside, with its name."""
    scene = Scene()
    scene.settle()
    agent = Agent("a")
    delivery = scene.hear(agent.resume(), agent.user, size=ACCOUNT_BYTES + 1)
    why = f"account u-a would have {ACCOUNT_BYTES + 1} bytes noted here, more than {ACCOUNT_BYTES}"
    assert scene.last == [
        Send(message=Refuse(session="s-a", master="m", re="resume", reason=why), address=agent.address),
        DeadLetter(delivery=delivery, reason=why, user="u-a"),
        Ack(delivery=delivery),
    ]
    scene.says(agent, agent.resume())
    again = Refuse(session="s-a", master="m", re="resume", reason="this session was given up")
    assert sent(scene.last, Send) == [Send(message=again, address=agent.address)]


def test_what_is_gone_no_longer_counts_and_the_rest_does() -> None:
    """Of an account's sessions that are noted."""
    scene = Scene()
    scene.settle()
    half = ACCOUNT_BYTES // 2
    agents = [Agent("a", session=f"s{number}") for number in range(4)]
    for agent in agents[:2]:
        scene.hear(agent.resume(), agent.user, size=half)
    scene.says(agents[0], agents[0].gone())
    scene.hear(agents[2].resume(), agents[2].user, size=half)
    assert not sent(scene.last, DeadLetter)
    scene.hear(agents[3].resume(), agents[3].user, size=half)
    assert len(sent(scene.last, DeadLetter)) == 1


def test_a_claim_behind_the_resume_by_which_its_session_is_noted_is_acknowledged() -> None:
    """It is older."""
    scene = Scene()
    scene.settle()
    agent = Agent("a")
    scene.says(agent, agent.resume())
    delivery = scene.says(agent, agent.claim("o-1"))
    assert scene.last == [Ack(delivery=delivery)]


def test_one_marker_serves_all_who_want_one_at_a_time() -> None:
    """Two agents are given up with one look."""
    scene = Scene()
    agents = [scene.held(Agent(name, request=f"br-{name}")) for name in "ab"]
    scene.wait(LINK_UP_SETTLING)
    scene.wait(PING_INTERVAL)
    pings = [send for send in sent(scene.last, Send) if isinstance(send.message, Ping)]
    for send in pings:
        scene.returned(send.message, send.address)  # type: ignore[arg-type]
    assert [scene.state(agent.request) for agent in agents] == ["missing", "missing"]
    (first,) = sent(scene.wait(scene.machine._context.config.grace + 1.0, markers=False), SendMarker)
    (second,) = sent(scene.wait(MARKER_RESEND, markers=False), SendMarker)
    assert second.message.k > first.message.k, "each is told from those before"  # type: ignore[attr-defined]


def test_a_copy_is_refused_and_what_it_says_is_done_with() -> None:
    """Again and again, each time."""
    scene = Scene()
    agent, copy = scene.held(Agent("a")), Agent("a")
    copy.epoch = 2
    scene.says(copy, copy.gone())
    scene.says(agent, agent.accept())
    refuse = Refuse(session="s-a", master="m", re="resume", reason="its state folder is a copy")
    for message in (copy.claim("o-1"), copy.resume(), copy.accept()):
        delivery = scene.says(copy, message)
        assert scene.last == [Send(message=refuse, address=copy.address), Ack(delivery=delivery)]


def test_events_that_came_before_their_session_was_attached_are_asked_for_again() -> None:
    """With the accept that attaches it."""
    scene = Scene()
    offer = scene.offered("br-1/step-1", kind="command", commands=(MAKE,))
    agent = Agent("a", request="br-1/step-1")
    scene.says(agent, agent.claim(offer))
    scene.says(agent, agent.event(1, kind="started"))
    assert not sent(scene.last, Deliver)
    scene.says(agent, agent.accept())
    replay = Replay(session="s-a", incarnation="inc-1", stored=0)
    assert Send(message=replay, address=agent.address) in scene.last
    scene.wait(2 * REPLAY_INTERVAL)
    scene.do(StartCommand(request="br-1/step-1", command=MAKE))
    assert [send.message.t for send in sent(scene.last, Send)] == ["start"], "once"  # type: ignore[attr-defined]


def test_an_older_address_is_asked_anew_when_the_marker_did_not_come_back() -> None:
    """It is forgotten for then, and what it says next is news."""
    scene = Scene()
    older, newer = scene.held(Agent("a")), Agent("a")
    newer.epoch = 2
    scene.says(newer, newer.resume())
    scene.says(older, older.resume())
    assert len(sent(scene.last, SendMarker)) == 1
    scene.says(older, older.resume())
    assert not sent(scene.last, SendMarker)
    scene.wait(MARKER_RESEND + 0.1, markers=False)
    scene.says(older, older.resume())
    assert len(sent(scene.last, SendMarker)) == 1


def test_so_many_copies_of_a_state_folder_are_remembered() -> None:
    """More are believed anew each time."""
    scene = Scene()
    agent = scene.held(Agent("a"))
    copy = Agent("a")
    for epoch in range(2, CLONES_MAX + 3):
        copy.epoch = epoch
        scene.says(copy, copy.gone())
        scene.says(agent, agent.accept())
    session = scene.machine._parts.placing.holders["s-a"].granted
    assert len(session.clones) == CLONES_MAX


@pytest.mark.parametrize("run", [1, 7])
def test_a_ticket_of_a_session_that_is_adopted_is_of_the_run_that_adopts_it(run: int) -> None:
    """Shown later, to this incarnation or the next one, it proves that."""
    scene = Scene()
    agent = scene.held(Agent("a"))
    scene.do(Keep(request="br-1"))
    scene.seek(run=run)
    (grant,) = [send.message for send in sent(scene.last, Send) if isinstance(send.message, Grant)]
    proof = TICKETS.proves(grant.ticket, request="br-1", session="s-a", user=agent.user)
    assert proof is not None
    assert (proof.kind, proof.run) == ("grant", run)
