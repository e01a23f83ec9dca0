"""Pings, graces, markers, cloned state folders."""

from __future__ import annotations

import pytest

from contracts.messages import Alive, Grant, Ping, RollCall
from contracts.timing import ACCEPT_TIMEOUT
from master_bridge.core.actions import (
    Alarm,
    Attach,
    Broadcast,
    Deliver,
    Lost,
    PublishOffer,
    Send,
    SendMarker,
    StateChanged,
)
from master_bridge.core.inputs import (
    AgentDied,
    AgentHeard,
    Done,
    Keep,
    LinkBlocked,
    LinkDown,
    LinkUp,
    RequestChecked,
    StatusesWanted,
)
from master_bridge.core.presence import given_up_at
from master_bridge.core.records import Session
from tests.unit.bridge_core.scene import MAKE, Agent, Scene, executing, sent

SETTLED = 60.0  # seconds after which the link's first 45 are over


def held_and_settled(**more: float) -> tuple[Scene, Agent]:
    scene, agent = Scene(), Agent("a")
    scene.held(agent, commands=(MAKE,), **more)
    scene.wait(SETTLED)
    return scene, agent


@pytest.mark.parametrize(
    ("missing", "given_up"), [(0.0, 35.0), (9.0, 44.0), (12.0, 45.0), (44.0, 49.0), (45.0, 50.0), (100.0, 105.0)]
)
def test_rule_10_the_grace_is_35_seconds_while_everybody_reconnects(missing: float, given_up: float) -> None:
    """With the link up since 0: 35 s until it has been up for 45 s, then 5 s."""
    assert given_up_at(missing, 0.0, 5.0) == given_up


def test_a_holder_that_was_there_under_a_young_link_gets_the_usual_grace() -> None:
    """It accepted a grant that was made on this link, so it is not one of those who are still reconnecting."""
    scene, agent = Scene(), Agent("a")
    scene.held(agent, commands=(MAKE,))
    scene.vanish(agent)
    assert not sent(scene.wait(4.9), Lost)
    assert sent(scene.wait(0.2), Lost)


def test_a_holder_of_an_earlier_link_gets_35_seconds() -> None:
    """Its accept of then proves nothing, and neither does one that the broker delivers again."""
    scene, agent = Scene(), Agent("a")
    scene.held(agent, commands=(MAKE,))
    scene.do(LinkDown())
    scene.do(LinkUp())
    scene.says(agent, agent.accept())
    scene.vanish(agent)
    assert not sent(scene.wait(34.9), Lost)
    assert sent(scene.wait(0.2), Lost)


def test_who_came_back_and_vanishes_again_is_waited_for_until_the_others_are_back() -> None:
    """While somebody who held before the link came up is missing, clients may still be reconnecting."""
    scene, first, second = Scene(), Agent("a"), Agent("b", request="br-2")
    scene.held(first, commands=(MAKE,))
    scene.held(second, commands=(MAKE,))
    scene.do(LinkDown())
    scene.do(LinkUp())
    scene.vanish(second)
    _comes_back(scene, first)
    scene.vanish(first)
    assert not sent(scene.wait(8.0), Lost)
    _comes_back(scene, second)
    (lost,) = sent(scene.wait(1.1), Lost)
    assert lost.request == "br-1"


def _comes_back(scene: Scene, agent: Agent) -> None:
    agent.epoch += 1
    scene.says(agent, agent.resume(executing()))
    assert isinstance(sent(scene.last, Send)[0].message, Grant)
    scene.says(agent, agent.accept())


def test_a_link_up_calls_the_roll_and_alive_is_broadcast_from_then_on() -> None:
    """Rule 19: silence ends with any message."""
    scene = Scene()
    assert [type(broadcast.message) for broadcast in sent(scene.last, Broadcast)] == [RollCall]
    scene.wait(9.5)
    assert sum(isinstance(b.message, Alive) for b in sent(scene.last, Broadcast)) == 3


def test_rule_9_holders_are_pinged_every_two_seconds_with_what_is_stored() -> None:
    """Each holder, mandatory."""
    scene, agent = Scene(), Agent("a")
    scene.held(agent, commands=(MAKE,))
    scene.says(agent, agent.event(1))
    scene.store(agent, 1)
    pings = [s.message for s in sent(scene.wait(6.0), Send) if isinstance(s.message, Ping)]
    assert len(pings) == 3
    assert pings[-1].stored == 1


def test_rule_10_a_missing_holder_is_given_up_after_grace_and_marker() -> None:
    """Buildbot is told, and the agent is refused when it comes back."""
    scene, agent = held_and_settled()
    scene.vanish(agent)
    assert scene.state() == "missing"
    scene.wait(4.9)
    assert not sent(scene.last, Lost)
    scene.wait(0.2, markers=False)
    (marker,) = sent(scene.last, SendMarker)
    assert not sent(scene.last, Lost)
    scene.hear(marker.message, "bridge")  # type: ignore[arg-type]
    (lost,) = sent(scene.last, Lost)
    assert "agent a did not answer for 5 s" in lost.reason
    agent.epoch = 2
    scene.says(agent, agent.resume(executing()))
    assert scene.to(agent) == ["refuse"]


def test_who_died_is_not_waited_for() -> None:
    """All processes that kept its session have ended, so it will not come back; what it said before still counts."""
    scene, agent = held_and_settled()
    scene.do(AgentDied(address=agent.address))
    assert scene.state() == "missing"
    (marker,) = sent([*scene.last, *scene.wait(0.0, markers=False)], SendMarker)
    assert not sent(scene.all, Lost)
    scene.hear(marker.message, "bridge")  # type: ignore[arg-type]
    (lost,) = sent(scene.last, Lost)
    assert lost.reason.startswith("agent a died")


def test_who_died_while_everybody_reconnects_is_not_waited_for_either() -> None:
    """It was there, on this link."""
    scene, agent = Scene(), Agent("a")
    scene.held(agent, commands=(MAKE,))
    scene.vanish(agent)
    scene.wait(1.0)
    assert not sent(scene.all, Lost)
    scene.do(AgentDied(address=agent.address))
    scene.hear_markers()
    scene.wait(0.1)
    assert sent(scene.all, Lost)


def test_who_has_come_back_elsewhere_does_not_die_with_an_older_connection() -> None:
    scene, agent = held_and_settled()
    old = agent.address
    agent.epoch = 2
    scene.says(agent, agent.resume(executing()))
    scene.do(AgentDied(address=old))
    scene.wait(60.0)
    assert not sent(scene.all, Lost)


def test_a_death_shortens_no_strict_fencing() -> None:
    """The command's processes may outlive those that kept it for a moment."""
    scene, agent = held_and_settled(fencing=20.0)
    scene.do(AgentDied(address=agent.address))
    scene.wait(24.9)
    assert not sent(scene.all, Lost)
    scene.wait(0.2)
    assert sent(scene.all, Lost)


def test_a_command_offers_results_are_waited_for_after_a_death() -> None:
    """They may be in the journal, which whoever is started there brings."""
    scene, agent = Scene(), Agent("a")
    scene.held(agent, kind="command", commands=(MAKE,))
    scene.wait(SETTLED)
    scene.do(AgentDied(address=agent.address))
    scene.wait(4.9)
    assert scene.state() == "missing"
    scene.wait(0.2)
    assert scene.state() == "none"


def test_alive_says_how_often_the_master_wants_to_be_told() -> None:
    """The usual interval until Buildbot's side has counted the fleet; what it said last, from the next `alive` on."""
    scene, _ = held_and_settled()

    def said() -> list[int]:
        return [each.message.status_every for each in sent(scene.last, Broadcast) if isinstance(each.message, Alive)]

    scene.wait(3.0)
    assert said() == [5]
    scene.do(StatusesWanted(every=25))
    scene.do(StatusesWanted(every=30))
    scene.wait(6.0)
    assert said() == [30, 30]
    scene.do(LinkDown())
    scene.do(LinkUp())
    scene.wait(3.0)
    assert said() == [30]


@pytest.mark.parametrize(("every", "silent"), [(5, 15.0), (25, 35.0)])
def test_a_silence_before_the_ping_came_back_counts_as_grace(every: int, silent: float) -> None:
    """The broker takes up to three heartbeats to notice a cut cable; of its silence, all but 15 s is grace.

    An agent of a large fleet may say nothing for longer, and says for how long.
    """
    scene, agent = held_and_settled()
    heard = scene.now
    scene.do(AgentHeard(instance=f"i-{agent.name}", user=agent.user, every=every))
    scene.wait(silent + 1.0)
    scene.vanish(agent)
    assert scene.state() == "missing"
    scene.wait(heard + silent + 5.0 - 0.1 - scene.now)
    assert not sent(scene.last, Lost)
    scene.wait(0.2)
    (lost,) = sent(scene.last, Lost)
    assert "did not answer for 5 s" in lost.reason


def test_the_machine_knows_whose_statuses_mean_something_to_it() -> None:
    scene, agent = held_and_settled()
    of_agent = (f"i-{agent.name}", agent.user)
    assert scene.machine.holds(*of_agent)
    assert not scene.machine.holds("i-other", agent.user)
    assert not scene.machine.holds(of_agent[0], "other")
    scene.do(Done(request="br-1"))
    assert not scene.machine.holds(*of_agent)


def test_an_agent_heard_of_late_has_the_whole_grace() -> None:
    """A link that is reset, or a main process killed: nobody was silent before."""
    scene, agent = held_and_settled()
    scene.do(AgentHeard(instance=f"i-{agent.name}", user=agent.user))
    scene.wait(10.0)
    scene.vanish(agent)
    scene.wait(4.9)
    assert not sent(scene.last, Lost)


def test_strict_fencing_counts_from_the_brokers_word_only() -> None:
    """Its agent kills what runs so long after its last contact; the build must not start elsewhere before."""
    scene, agent = held_and_settled(fencing=20.0)
    scene.do(AgentHeard(instance=f"i-{agent.name}", user=agent.user))
    scene.wait(60.0)
    scene.vanish(agent)
    scene.wait(24.9)
    assert not sent(scene.last, Lost)


def test_a_resume_that_was_under_way_saves_the_session_while_the_marker_returns() -> None:
    """That is what the marker is for."""
    scene, agent = held_and_settled()
    scene.vanish(agent)
    scene.wait(5.1, markers=False)
    (marker,) = sent(scene.last, SendMarker)
    agent.epoch = 2
    scene.says(agent, agent.resume(executing()))
    scene.hear(marker.message, "bridge")  # type: ignore[arg-type]
    assert not sent(scene.all, Lost)
    assert scene.state() == "held"


def test_rule_9_events_and_old_epochs_do_not_end_missing() -> None:
    """They come from a durable queue: they prove nothing. Events are delivered all the same."""
    scene, agent = held_and_settled()
    scene.vanish(agent)
    scene.says(agent, agent.event(1))
    assert len(sent(scene.last, Deliver)) == 1
    scene.says(agent, agent.resume(executing()))
    assert scene.to(agent) == []
    assert scene.state() == "missing"


def test_the_grace_begins_with_the_first_ping_that_came_back() -> None:
    """Whatever comes back later does not prolong it."""
    scene, agent = held_and_settled()
    scene.vanish(agent)
    scene.wait(4.0)
    scene.returned(Ping(session=agent.session, incarnation="inc-1", stored=0), agent.address)
    scene.wait(1.5)
    assert sent(scene.all, Lost)


def test_a_marker_from_before_the_link_went_away_decides_nothing() -> None:
    """Neither on a missing holder nor on a window: who reconnects now has not spoken yet."""
    scene, agent = held_and_settled()
    scene.vanish(agent)
    (marker,) = sent(scene.wait(5.1, markers=False), SendMarker)
    scene.relink()
    scene.hear(marker.message, "bridge")  # type: ignore[arg-type]
    assert scene.state() == "missing"

    scene = Scene()
    scene.seek()
    (marker,) = sent(scene.wait(2.0, markers=False), SendMarker)
    scene.relink()
    scene.hear(marker.message, "bridge")  # type: ignore[arg-type]
    assert scene.state() == "window"


def test_rule_8_while_the_holder_is_missing_claims_are_put_off_and_resumes_refused() -> None:
    """The offer is parked; who else holds a session of the request drops it."""
    scene, agent = held_and_settled()
    scene.vanish(agent)
    other, third = Agent("b"), Agent("c")
    scene.says(other, other.claim("o-1"))
    assert scene.to(other) == ["later"]
    assert [send.message.reason for send in sent(scene.last, Send)] == [""]  # type: ignore[attr-defined]
    scene.says(third, third.resume(executing()))
    assert scene.to(third) == ["refuse"]


def test_rule_10_the_grace_stands_still_while_the_link_is_blocked() -> None:
    """Nothing can be found out then."""
    scene, agent = held_and_settled()
    scene.vanish(agent)
    scene.wait(3.0)
    scene.do(LinkBlocked(blocked=True))
    assert scene.wait(1000.0) == []
    scene.do(LinkBlocked(blocked=False))
    scene.wait(1.5)
    assert scene.state() == "missing"
    scene.wait(1.0)
    assert sent(scene.all, Lost)


def test_rule_10_the_grace_stands_still_while_the_link_is_down() -> None:
    """And is 35 s when it has come up, since everybody is reconnecting."""
    scene, agent = held_and_settled()
    scene.vanish(agent)
    scene.wait(3.0)
    scene.do(LinkDown())
    scene.wait(1000.0)
    scene.do(LinkUp())
    scene.wait(30.0)
    assert scene.state() == "missing"
    scene.wait(3.0)
    assert sent(scene.all, Lost)


def test_strict_fencing_waits_longer_than_the_agent_needs_to_kill_its_command() -> None:
    """The grace is that of the column's fencing, and ours on top."""
    scene, agent = held_and_settled(fencing=60.0)
    scene.vanish(agent)
    scene.wait(64.0)
    assert scene.state() == "missing"
    scene.wait(2.0)
    assert sent(scene.all, Lost)


def test_a_ping_that_comes_back_from_an_older_address_says_nothing() -> None:
    """The agent has reconnected meanwhile."""
    scene, agent = held_and_settled()
    old = agent.address
    agent.epoch = 2
    scene.says(agent, agent.resume(executing()))
    scene.returned(Ping(session=agent.session, incarnation="inc-1", stored=0), old)
    assert scene.state() == "held"


def _clone_speaks(scene: Scene, agent: Agent) -> Agent:
    clone = Agent("a")
    clone.epoch = 2
    scene.says(clone, clone.resume(executing()))
    assert scene.to(clone) == ["grant"]
    return clone


def test_rule_2_the_newer_of_two_addresses_that_both_answer_is_refused() -> None:
    """A cloned state folder: the older address speaks again, and accepts the grant that asks whether it lives."""
    scene, agent = held_and_settled()
    clone = _clone_speaks(scene, agent)
    scene.says(clone, clone.accept())
    scene.says(agent, agent.resume(executing()))
    (marker,) = sent(scene.last, SendMarker)
    assert scene.to(agent) == []
    scene.hear(marker.message, "bridge")  # type: ignore[arg-type]
    assert scene.to(agent) == ["grant"]
    scene.says(agent, agent.accept())
    assert scene.to(clone) == ["refuse"]
    (alarm,) = sent(scene.last, Alarm)
    assert alarm.event == "cloned_state_folder"
    assert clone.address in alarm.detail
    assert scene.machine.requests()[0].address == agent.address
    scene.says(clone, clone.resume(executing()))
    assert scene.to(clone) == ["refuse"]
    scene.says(clone, clone.gone())
    assert not sent(scene.all, Lost)


def test_rule_2_an_old_connections_last_words_raise_no_alarm() -> None:
    """They come before the marker is back, or the grant that asks comes back."""
    scene, agent = held_and_settled()
    renewed = _clone_speaks(scene, agent)
    scene.says(agent, agent.resume(executing()))
    (marker,) = sent(scene.last, SendMarker)
    scene.says(agent, agent.accept())
    scene.hear(marker.message, "bridge")  # type: ignore[arg-type]
    grant = next(s.message for s in sent(scene.last, Send) if s.address == agent.address)
    assert isinstance(grant, Grant)
    scene.returned(grant, agent.address)
    assert not sent(scene.all, Alarm)
    assert scene.machine.requests()[0].address == renewed.address
    assert scene.state() == "held"


def test_gone_from_elsewhere_is_believed_when_the_known_address_is_gone() -> None:
    """The agent restarted and its keeper is dead: lost within a round trip."""
    scene, agent = held_and_settled()
    old = agent.address
    agent.epoch = 2
    scene.says(agent, agent.gone("lost"))
    (probe,) = sent(scene.last, Send)
    assert probe.address == old
    scene.returned(probe.message, old)  # type: ignore[arg-type]
    assert sent(scene.last, Lost)


def test_gone_from_elsewhere_is_believed_when_the_known_address_is_silent() -> None:
    """A half-open connection keeps the old queue alive for a while."""
    scene, agent = held_and_settled()
    agent.epoch = 2
    scene.says(agent, agent.gone("lost"))
    scene.wait(4.5)
    assert sent(scene.all, Lost)


def test_gone_from_a_copy_costs_the_living_agent_nothing() -> None:
    """A copied state folder without the commands says `gone`; the real holder answers."""
    scene, agent = held_and_settled()
    clone = Agent("a")
    clone.epoch = 2
    scene.says(clone, clone.gone("lost"))
    scene.says(agent, agent.accept())
    (alarm,) = sent(scene.last, Alarm)
    assert alarm.detail.startswith(f"agents at {agent.address} and {clone.address} both answer")
    scene.wait(10.0)
    assert not sent(scene.all, Lost)
    assert len(sent(scene.all, Attach)) == 1


# ---- what is remembered of addresses, links and alarms


def session_of(scene: Scene, request: str = "br-1") -> Session:
    return scene.machine._parts.placing.works[request].granted


def alarms(scene: Scene, agent: Agent) -> set[str]:
    """Those that are set for its session."""
    timers = scene.machine._parts.context.timers
    purposes = ("accept", "grace", "suspect", "rival", "stored", "replay", "orphan")
    return {purpose for purpose in purposes if timers.is_set(purpose, agent.session)}


def granted_again(scene: Scene) -> list[object]:
    return [send.message for send in sent(scene.last, Send) if isinstance(send.message, Grant)]


def test_a_claim_that_comes_again_is_answered_unless_buildbot_has_the_session() -> None:
    """At a new address it is answered in any case."""
    scene, agent = Scene(), Agent("a")
    offer = scene.offered()
    scene.says(agent, agent.claim(offer))
    scene.says(agent, agent.claim(offer))
    assert len(granted_again(scene)) == 1
    scene.says(agent, agent.accept())
    scene.says(agent, agent.claim(offer))
    assert granted_again(scene) == []
    agent.epoch = 2
    scene.says(agent, agent.claim(offer))
    assert len(granted_again(scene)) == 1


def test_an_accept_of_an_earlier_incarnations_grant_is_answered_by_a_new_one() -> None:
    """Its holder does not know yet who is there."""
    scene, agent = Scene(), Agent("a")
    scene.held(agent)
    scene.says(agent, agent.accept("inc-0"))
    assert len(granted_again(scene)) == 1
    scene.says(agent, agent.accept())
    assert granted_again(scene) == []


def test_a_claim_behind_an_accept_is_acknowledged_at_once() -> None:
    """The accept is kept: it says more (rule 11)."""
    scene, agent = Scene(), Agent("a")
    scene.held(agent)
    kept = session_of(scene).delivery
    late = scene.says(agent, agent.claim(agent.offer))
    assert scene.acked() == [late]
    assert session_of(scene).delivery == kept
    newer = scene.says(agent, agent.accept())
    assert scene.acked() == [kept]
    assert session_of(scene).delivery == newer


def test_without_a_link_nothing_is_offered() -> None:
    """Nor said to anybody; the next link makes up for it."""
    scene = Scene()
    scene.settle()
    scene.do(LinkDown())
    scene.seek()
    assert sent(scene.last, PublishOffer) == []
    assert scene.machine.deadline is None
    scene.do(LinkUp())
    scene.settle()
    assert scene.state() == "waiting"
    assert len(sent(scene.all, PublishOffer)) == 1


def test_an_accept_proves_that_its_agent_was_there_after_the_link_came_up() -> None:
    """If the grant was first made on this link: else it may be the answer to an earlier one."""
    scene, agent = Scene(), Agent("a")
    scene.says(agent, agent.claim(scene.offered()))
    assert session_of(scene).first_grant == (agent.address, 1)
    scene.relink()
    scene.wait(ACCEPT_TIMEOUT + 0.1)
    assert session_of(scene).first_grant == (agent.address, 1)
    scene.says(agent, agent.accept())
    assert session_of(scene).seen_on == 0
    agent.epoch = 2
    scene.says(agent, agent.resume())
    assert session_of(scene).first_grant == (agent.address, 2)
    scene.says(agent, agent.accept())
    assert session_of(scene).seen_on == 2


def test_of_what_is_kept_for_a_restart_nothing_is_due() -> None:
    """But the end of the time for which it waits, once its request is known to be open."""
    scene, agent = held_and_settled()
    timers = scene.machine._parts.context.timers
    for purpose in ("accept", "grace", "suspect", "rival", "stored", "replay"):
        timers.set(purpose, agent.session, scene.now + 1.0)
    scene.do(Keep(request="br-1"))
    assert alarms(scene, agent) == set()
    scene.do(RequestChecked(request="br-1", complete=False))
    assert alarms(scene, agent) == {"orphan"}


def two_addresses() -> tuple[Scene, Agent, str, str]:
    """The newer one holds the session, the older one was asked whether it lives."""
    scene, agent = held_and_settled()
    older = agent.address
    agent.epoch = 2
    newer = agent.address
    scene.says(agent, agent.resume(executing()))
    scene.says(agent, agent.accept())
    agent.epoch = 1
    scene.says(agent, agent.resume(executing()))
    scene.hear_markers()
    assert [(send.message.t, send.address) for send in sent(scene.last, Send)] == [("grant", older)]  # type: ignore[attr-defined]
    assert alarms(scene, agent) >= {"rival"}
    return scene, agent, older, newer


def test_an_older_address_that_answers_has_the_session_and_the_newer_one_is_a_copy() -> None:
    """It is refused, the older one is granted, and an operator learns which of the two to stop."""
    scene, agent, older, newer = two_addresses()
    scene.says(agent, agent.accept())
    told = [(send.message.t, send.address) for send in sent(scene.last, Send)]  # type: ignore[attr-defined]
    assert told == [("refuse", newer), ("grant", older)]
    (alarm,) = sent(scene.last, Alarm)
    assert (alarm.event, alarm.request) == ("cloned_state_folder", "br-1")
    assert alarm.detail == (
        f"agents at {older} and {newer} both answer for session s-a of instance i-a: one state folder is a copy of the "
        f"other's; stop the agent at {newer} and delete its state folder"
    )
    assert session_of(scene).address == older
    assert session_of(scene).clones == {newer}
    assert session_of(scene).rival is None
    assert "rival" not in alarms(scene, agent)


def test_an_older_address_that_is_gone_was_an_old_connection() -> None:
    """What was said there was said before; the session stays where it is."""
    scene, _, older, newer = two_addresses()
    grant = sent(scene.last, Send)[0].message
    scene.returned(grant, older)  # type: ignore[arg-type]
    assert session_of(scene).rival is None
    assert session_of(scene).address == newer
    assert scene.state() == "held"


def test_an_older_address_that_says_nothing_is_forgotten() -> None:
    """After as long as an accept may take."""
    scene, _, _, newer = two_addresses()
    scene.wait(ACCEPT_TIMEOUT + 0.1)
    assert session_of(scene).rival is None
    assert session_of(scene).address == newer


def test_a_ping_tells_what_is_stored_so_that_nothing_else_has_to() -> None:
    """Until more is."""
    scene, agent = held_and_settled()
    scene.says(agent, agent.event(1))
    scene.store(agent, 1)
    assert "stored" in alarms(scene, agent)
    assert session_of(scene).order.unreported == 0
    scene.says(agent, agent.event(2, data=b"12345"))
    scene.store(agent, 2)
    assert session_of(scene).order.unreported == 5
    scene.relink()
    pings = [send.message for send in sent(scene.last, Send) if isinstance(send.message, Ping)]
    assert [(ping.session, ping.incarnation, ping.stored) for ping in pings] == [("s-a", "inc-1", 2)]
    assert session_of(scene).order.unreported == 0
    assert "stored" not in alarms(scene, agent)


def test_an_older_address_has_its_time_from_when_it_was_asked() -> None:
    """Not from when it spoke: the marker may have been on its way for some seconds."""
    scene, agent = held_and_settled()
    agent.epoch = 2
    scene.says(agent, agent.resume(executing()))
    agent.epoch = 1
    scene.says(agent, agent.resume(executing()))
    (marker,) = sent(scene.last, SendMarker)
    scene.now += 2.0
    scene.hear(marker.message, "bridge")  # type: ignore[arg-type]
    assert scene.machine._parts.context.timers.when("rival", agent.session) == scene.now + ACCEPT_TIMEOUT


def test_of_a_session_that_is_over_nothing_is_due() -> None:
    """However many alarms it had."""
    scene, agent = held_and_settled()
    timers = scene.machine._parts.context.timers
    for purpose in ("accept", "grace", "suspect", "rival", "stored", "replay", "orphan"):
        timers.set(purpose, agent.session, scene.now + 1.0)
    scene.do(Done(request="br-1"))
    assert alarms(scene, agent) == set()


def test_a_new_link_asks_again_for_the_accept_that_is_missing_and_for_no_other() -> None:
    """Buildbot has the other session."""
    scene, agent = Scene(), Agent("a")
    scene.says(agent, agent.claim(scene.offered()))
    scene.relink()
    assert "accept" in alarms(scene, agent)
    scene.says(agent, agent.accept())
    scene.relink()
    assert "accept" not in alarms(scene, agent)


def test_claims_that_wait_for_the_end_of_the_roll_call_are_refused_when_nobody_wants_an_agent() -> None:
    """With the reason; so their offers are acknowledged."""
    scene, agent = Scene(), Agent("a", request="br-1/lint")
    offer = scene.offered("br-1/lint", kind="command", commands=(MAKE,))
    scene.relink()
    delivery = scene.says(agent, agent.claim(offer))
    assert sent(scene.last, Send) == []
    scene.do(Done(request="br-1/lint"))
    (refused,) = [send.message for send in sent(scene.last, Send)]
    assert (refused.t, refused.reason) == ("refuse", "no agent is wanted for its build request")  # type: ignore[attr-defined]
    assert delivery in scene.acked()


def test_a_holder_of_an_earlier_link_is_given_up_when_the_link_is_settled_and_no_later() -> None:
    """45 s after it came up, also where its agent is missed at no whole second before."""
    scene, agent = Scene(), Agent("a")
    scene.held(agent, commands=(MAKE,))
    scene.relink()
    scene.wait(10.5)
    scene.vanish(agent)
    assert not sent(scene.wait(32.4), Lost)
    assert sent(scene.wait(0.2), Lost)


def test_rule_10_a_death_while_the_link_is_blocked_has_its_consequences_behind_it() -> None:
    """What is under way to us may say that it lives, and the marker behind it does not go out."""
    scene, agent = held_and_settled()
    scene.do(LinkBlocked(blocked=True))
    scene.do(AgentDied(address=agent.address))
    assert not sent(scene.wait(SETTLED), SendMarker)
    scene.do(LinkBlocked(blocked=False))
    scene.hear_markers()
    assert sent(scene.last, Lost)


def test_a_link_that_is_not_blocked_is_not_unblocked() -> None:
    """Nobody is asked anything, and nothing is due at another time."""
    scene, _ = held_and_settled()
    scene.wait(0.5)
    due = scene.machine.deadline
    assert scene.do(LinkBlocked(blocked=False)) == []
    assert scene.machine.deadline == due


def test_rule_2_an_accept_of_a_newer_epoch_is_believed_at_once() -> None:
    """It is where the session is from then on; what has not changed is not told."""
    scene, agent = held_and_settled()
    agent.epoch = 2
    scene.says(agent, agent.accept())
    assert scene.machine.requests()[0].address == agent.address
    assert not sent(scene.last, StateChanged)


def test_gone_from_another_instance_of_its_account_is_asked_about() -> None:
    """Of the same epoch: neither address is the newer one."""
    scene, agent = held_and_settled()
    other = Agent("b", user=agent.user, session=agent.session)
    scene.says(other, other.gone("lost", ticket=agent.granted))
    assert scene.to(agent) == ["grant"]
    assert not sent(scene.all, Lost)
