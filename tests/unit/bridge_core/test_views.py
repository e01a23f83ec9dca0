"""What people, metrics and waiting messages see of requests and of sessions that nobody has asked for."""

from __future__ import annotations

from contracts.messages import AgentLock, Marker
from contracts.timing import ORPHAN_IDLE, ORPHAN_RUNNING
from master_bridge.core.actions import PublishOffer, Send
from master_bridge.core.inputs import Done, Keep, RequestChecked
from master_bridge.core.placing import NO_KEY
from master_bridge.core.records import RequestView
from master_bridge.core.rollcall import ACCOUNT_BYTES, ACCOUNT_SESSIONS, RECHECK

from .scene import MAKE, Agent, Scene, executing, sent


def test_a_request_that_waits_is_seen_as_it_was_asked_for() -> None:
    """Without an agent."""
    scene = Scene()
    scene.settle()
    scene.seek(run=4, builder="linux", priority=3, locks=(AgentLock(name="disk", capacity=1),))
    assert list(scene.machine.requests()) == [
        RequestView(
            request="br-1", state="waiting", since=scene.now, run=4, kind="build", signature="gtk", title="linux #1",
            builder="linux", priority=3, offers=1,
        )
    ]  # fmt: skip


def test_a_request_that_is_held_is_seen_with_its_agent_and_how_far_it_is() -> None:
    """Events that Buildbot was given, and those that it has stored."""
    scene = Scene()
    agent = scene.held(Agent("a"), commands=[MAKE])
    asked = scene.now
    for seq in (1, 2, 3):
        scene.says(agent, agent.event(seq))
    scene.store(agent, 2)
    assert list(scene.machine.requests()) == [
        RequestView(
            request="br-1", state="held", since=asked, run=1, kind="build", signature="gtk", title="linux #1",
            offers=1, session="s-a", agent="a", instance="i-a", address=agent.address, stored=2, delivered=3,
        )
    ]  # fmt: skip


def test_a_session_that_nobody_asked_for_is_seen_as_such() -> None:
    """Since it was heard of."""
    scene = Scene()
    agent = Agent("a", run=7)
    scene.wait(0.5)
    scene.says(agent, agent.resume())
    assert list(scene.machine.requests()) == [
        RequestView(
            request="br-1", state="unasked", since=0.5, run=7, session="s-a", agent="a", instance="i-a",
            address=agent.address,
        )
    ]  # fmt: skip


def test_lives_are_counted_in_what_is_seen() -> None:
    """Of each request that lost an agent while it ran something."""
    scene = Scene()
    agent = scene.held(Agent("a"), commands=[MAKE])
    scene.says(agent, agent.gone("lost"))
    scene.seek()
    (view,) = scene.machine.requests()
    assert (view.request, view.lives) == ("br-1", 1)
    scene.do(Done(request="br-1"))
    late = Agent("b")
    scene.says(late, late.resume())
    (view,) = scene.machine.requests()
    assert (view.state, view.lives) == ("unasked", 1)


# ---- sessions that nobody has asked for: how many, and for how long


def test_an_account_has_so_many_sessions_noted() -> None:
    """More are refused with the reason; another account's are not."""
    scene = Scene()
    for number in range(ACCOUNT_SESSIONS):
        agent = Agent("a", session=f"s{number}", request=f"br-{number}", user="u")
        scene.hear(agent.resume(), "u", size=10)
    late = Agent("a", session="late", request="br-late", user="u")
    scene.says(late, late.resume())
    (refused,) = sent(scene.last, Send)
    assert refused.address == late.address
    told = f"account u has {ACCOUNT_SESSIONS} sessions noted here already"
    assert refused.message.reason == told  # type: ignore[attr-defined]
    other = Agent("b", request="br-b", user="v")
    scene.says(other, other.resume())
    assert scene.state("br-b") == "unasked"


def test_an_account_has_so_many_bytes_noted() -> None:
    """Of all its sessions; the last one may fill them."""
    scene = Scene()
    first, second, third = (Agent("a", session=f"s{n}", request=f"br-{n}", user="u") for n in (1, 2, 3))
    scene.hear(first.resume(), "u", size=ACCOUNT_BYTES - 100)
    scene.hear(second.resume(), "u", size=101)
    (refused,) = [send.message for send in sent(scene.last, Send)]
    told = f"account u would have {ACCOUNT_BYTES + 1} bytes noted here, more than {ACCOUNT_BYTES}"
    assert refused.reason == told  # type: ignore[attr-defined]
    scene.hear(third.resume(), "u", size=100)
    assert scene.state("br-3") == "unasked"


def noted(scene: Scene, agent: Agent, *commands: object) -> float:
    """When it will be refused, seconds after it was heard of and its request found to be open."""
    scene.says(agent, agent.resume(*commands))  # type: ignore[arg-type]
    scene.do(RequestChecked(request=agent.request, complete=False))
    due = scene.machine._parts.context.timers.when("orphan", agent.session)
    assert due is not None
    return due - scene.now


def test_an_idle_session_waits_for_minutes_and_one_that_runs_for_a_day() -> None:
    """So does a step's, whose build may take hours to come to it."""
    assert noted(Scene(), Agent("a")) == ORPHAN_IDLE
    assert noted(Scene(), Agent("a"), executing(completed=True)) == ORPHAN_IDLE
    assert noted(Scene(), Agent("a"), executing()) == ORPHAN_RUNNING
    assert noted(Scene(), Agent("a", request="br-1/step-1")) == ORPHAN_RUNNING


def test_a_request_with_noted_sessions_is_looked_up_again_and_again() -> None:
    """It may have been cancelled; not once they are gone."""
    scene = Scene()
    agent = Agent("a")
    scene.says(agent, agent.resume())
    scene.do(RequestChecked(request="br-1", complete=False))
    looks = [type(action).__name__ for action in scene.wait(RECHECK - 0.1)]
    assert "CheckRequest" not in looks
    looks = [type(action).__name__ for action in scene.wait(0.2)]
    assert looks.count("CheckRequest") == 1
    scene.says(agent, agent.gone())
    assert scene.state() == "none"
    assert "CheckRequest" not in [type(action).__name__ for action in scene.wait(3 * RECHECK)]


def test_what_was_kept_is_adopted_with_its_next_run() -> None:
    """A quick stop: the same session, granted anew; no offer is made."""
    scene = Scene()
    agent = scene.held(Agent("a"), commands=[MAKE])
    scene.do(Keep(request="br-1"))
    assert scene.state() == "unasked"
    scene.seek()
    assert scene.state() == "granted"
    assert sent(scene.last, PublishOffer) == []
    (grant,) = [send.message for send in sent(scene.last, Send)]
    assert (grant.t, grant.session, grant.stored) == ("grant", agent.session, 0)  # type: ignore[attr-defined]


def test_a_session_that_nobody_asks_for_in_time_is_refused_with_the_reason() -> None:
    """So that its agent knows that its work was in vain."""
    scene = Scene()
    agent = Agent("a")
    scene.says(agent, agent.resume())
    scene.do(RequestChecked(request="br-1", complete=False))
    refused = [each.message for each in sent(scene.wait(ORPHAN_IDLE + 1.0), Send) if each.message.t == "refuse"]  # type: ignore[attr-defined]
    assert [each.reason for each in refused] == ["nobody asked for its build request in time"]  # type: ignore[attr-defined]


def test_a_noted_session_is_gone_when_its_agent_says_so_and_not_a_copy_of_it() -> None:
    """From the address that it spoke from last, or a newer one."""
    scene = Scene()
    agent = Agent("a")
    agent.epoch = 2
    scene.says(agent, agent.resume())
    agent.epoch = 1
    scene.says(agent, agent.gone())
    assert scene.state() == "unasked"
    agent.epoch = 2
    scene.says(agent, agent.gone())
    assert scene.state() == "none"


def test_what_a_noted_session_runs_counts_when_it_is_adopted_and_lost() -> None:
    """A life of the request, though nobody here has started that command."""
    scene = Scene()
    agent = Agent("a")
    scene.says(agent, agent.resume(executing()))
    scene.settle()
    scene.seek()
    assert scene.state() == "granted"
    scene.says(agent, agent.gone("lost"))
    (view,) = scene.machine.requests()
    assert (view.state, view.lives) == ("waiting", 1)


def test_a_noted_session_without_a_key_is_refused_for_good_where_its_request_is_sealed() -> None:
    """Also when it resumes again; its request is offered to others."""
    scene = Scene()
    agent = Agent("a")
    scene.says(agent, agent.resume())
    scene.settle()
    scene.seek(seal=True)
    (refused,) = [each.message for each in sent(scene.last, Send)]
    assert (refused.t, refused.re, refused.reason) == ("refuse", "resume", NO_KEY)  # type: ignore[attr-defined]
    assert len(sent(scene.last, PublishOffer)) == 1
    scene.says(agent, agent.resume())
    (again,) = [each.message for each in sent(scene.last, Send)]
    assert (again.t, again.reason) == ("refuse", "this session was given up")  # type: ignore[attr-defined]


def test_what_a_noted_session_tells_of_itself_later_decides_how_long_it_waits() -> None:
    """An accept of an earlier grant says nothing of what runs; the resume behind it does."""
    scene, agent = Scene(), Agent("a")
    scene.says(agent, agent.accept("inc-0"))
    scene.do(RequestChecked(request="br-1", complete=False))
    timers = scene.machine._parts.context.timers
    assert timers.when("orphan", agent.session) == scene.now + ORPHAN_RUNNING
    scene.says(agent, agent.resume())
    assert timers.when("orphan", agent.session) == scene.now + ORPHAN_IDLE


def test_what_comes_before_the_first_link_is_void() -> None:
    """Nobody has delivered it."""
    scene, agent = Scene(link=False), Agent("a")
    scene.says(agent, agent.resume())
    assert scene.last == []
    assert scene.machine.requests() == ()


def test_a_marker_that_nobody_waits_for_closes_no_window() -> None:
    """It is acknowledged."""
    scene = Scene()
    scene.seek()
    delivery = scene.hear(Marker(incarnation="inc-1", k=1), "bridge")
    assert scene.acked() == [delivery]
    assert scene.state() == "window"


def test_what_buildbot_asks_for_is_not_complete_whatever_was_looked_up_before() -> None:
    """It asks while the answer is under way: the session is adopted."""
    scene, agent = Scene(), Agent("a")
    scene.says(agent, agent.resume())
    scene.seek()
    scene.do(RequestChecked(request="br-1", complete=True))
    assert scene.to(agent) == []
    scene.settle()
    assert scene.state() == "granted"


def test_requests_of_which_the_same_is_known_share_one_object() -> None:
    """20,000 are remembered."""
    scene = Scene()
    scene.held(Agent("a"))
    context = scene.machine._context
    context.note_life("br-2")
    assert context.history("br-1").known
    assert context.history("br-1") is context.history("br-2")
    assert context.count_life("br-2") == 1
    assert context.history("br-2").lives == 1
    assert context.history("br-1").lives == 0
