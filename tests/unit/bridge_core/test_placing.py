"""Window, offers, grants: how a request finds its agent."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from contracts.messages import Grant, Marker, Refuse
from master_bridge.core.actions import Attach, CheckRequest, Lost, PublishOffer, Send, SendMarker, StateChanged
from master_bridge.core.inputs import Done, Keep, LinkDown, LinkUp, RequestChecked, Reroute, Tick, Withdraw
from tests.unit.bridge_core.scene import MAKE, Agent, Scene, executing, sent


def test_rule_10_a_window_closes_only_when_its_marker_is_back() -> None:
    """After two seconds of roll call the bridge sends itself a marker, and offers when that has come back."""
    scene = Scene()
    scene.seek()
    scene.wait(2.0, markers=False)
    (marker,) = sent(scene.last, SendMarker)
    assert not sent(scene.last, PublishOffer)
    assert scene.state() == "window"
    scene.hear(marker.message, "bridge")  # type: ignore[arg-type]
    assert len(sent(scene.last, PublishOffer)) == 1
    assert scene.state() == "waiting"


def test_a_marker_that_is_lost_is_sent_again() -> None:
    """A full claims queue may reject the marker; the window closes all the same, later."""
    scene = Scene()
    scene.seek()
    scene.wait(2.0, markers=False)
    scene.wait(6.0)
    assert scene.state() == "waiting"


def test_a_marker_of_an_earlier_incarnation_decides_nothing() -> None:
    """Only our own markers say what is in."""
    scene = Scene()
    scene.seek()
    scene.wait(2.0, markers=False)
    scene.hear(Marker(incarnation="inc-0", k=99), "bridge")
    assert scene.state() == "window"


def test_a_seek_after_the_roll_call_is_offered_at_once() -> None:
    """Who holds a session has said so by then: waiting again would cost every build two seconds."""
    scene = Scene()
    scene.settle()
    scene.seek()
    (offer,) = sent(scene.last, PublishOffer)
    assert offer.offer.ask is False
    assert scene.state() == "waiting"


def test_without_a_link_nothing_is_published_and_the_link_up_begins_the_window() -> None:
    """A request that is sought while the broker is away waits for roll call and offer."""
    scene = Scene(link=False)
    scene.seek()
    assert sent(scene.last, StateChanged) == [StateChanged(request="br-1", state="window")]
    assert scene.machine.deadline is None
    scene.do(LinkUp())
    scene.settle()
    assert scene.state() == "waiting"


def test_rule_16_every_publication_after_the_first_asks() -> None:
    """Link-ups, steps back to waiting and repeated requests publish offers with fresh ids that ask."""
    scene = Scene()
    first = scene.offered()
    scene.relink()
    (again,) = sent(scene.last, PublishOffer)
    assert again.offer.ask is True
    assert again.offer.offer != first
    scene.settle()
    scene.seek("br-2", repeated=True)
    assert sent(scene.last, PublishOffer)[0].offer.ask is True


def test_rule_16_a_sign_of_earlier_life_makes_the_first_offer_ask() -> None:
    """A claim for an offer of an earlier incarnation shows that this is not the first."""
    scene = Scene()
    agent = Agent("a")
    scene.says(agent, agent.claim("o-old"))
    assert scene.to(agent) == ["refuse"]
    scene.offered()
    assert sent(scene.last, PublishOffer)[0].offer.ask is True


def test_an_offer_that_no_message_can_carry_is_refused_before_anything_changes() -> None:
    """A bad signature is the caller's mistake: it is told, and the machine goes on."""
    scene = Scene()
    scene.settle()
    with pytest.raises(ValidationError):
        scene.seek(signature="")
    assert scene.state() == "none"


def test_a_claim_is_granted_and_rule_7_attached_only_after_the_accept() -> None:
    """WAITING → GRANTED → HELD; the claim is acknowledged when the accept replaces it."""
    scene, agent = Scene(), Agent("a")
    claim = scene.says(agent, agent.claim(scene.offered()))
    assert scene.to(agent) == ["grant"]
    assert scene.acked() == []
    assert scene.state() == "granted"
    scene.says(agent, agent.accept())
    (attach,) = sent(scene.last, Attach)
    assert (attach.request, attach.holder.agent, attach.adopted) == ("br-1", "a", False)
    assert scene.acked() == [claim]
    assert scene.state() == "held"


def test_a_grant_without_accept_is_repeated() -> None:
    """Every four seconds, for as long as the agent is there."""
    scene, agent = Scene(), Agent("a")
    scene.says(agent, agent.claim(scene.offered()))
    scene.wait(8.5)
    assert scene.to(agent).count("grant") == 2


def test_rule_1_a_second_claim_is_refused() -> None:
    """One session of a request at a time; the refused agent acknowledges its copy of the offer."""
    scene, one, two = Scene(), Agent("a"), Agent("b")
    offer = scene.offered()
    scene.says(one, one.claim(offer))
    second = scene.says(two, two.claim(offer))
    assert scene.to(two) == ["refuse"]
    assert scene.acked() == [second]
    scene.says(one, one.accept())
    scene.says(two, two.claim(offer))
    assert scene.to(two) == ["refuse"]


def test_rule_6_refuse_says_what_it_answers() -> None:
    """A claim is refused as a claim, a resume as a resume."""
    scene = Scene()
    scene.held(Agent("a"))
    for agent, message, re in ((b := Agent("b"), b.claim("o-1"), "claim"), (c := Agent("c"), c.resume(), "resume")):
        scene.says(agent, message)
        assert sent(scene.last, Send)[0].message.re == re  # type: ignore[attr-defined]


def test_claims_during_the_window_and_of_requests_nobody_wants_are_refused() -> None:
    """So stale offers vanish."""
    scene, agent = Scene(), Agent("a")
    scene.says(agent, agent.claim("o-old"))
    assert scene.to(agent) == ["refuse"]
    scene.seek()
    scene.says(agent, agent.claim("o-old"))
    assert scene.to(agent) == ["refuse"]


def test_gone_before_the_accept_steps_back_to_waiting() -> None:
    """Rule 7: a fresh offer goes out, and Buildbot hears nothing."""
    scene, agent = Scene(), Agent("a")
    scene.says(agent, agent.claim(scene.offered()))
    scene.says(agent, agent.gone())
    (offer,) = sent(scene.last, PublishOffer)
    assert offer.offer.ask is True
    assert not sent(scene.last, Lost)
    assert scene.state() == "waiting"


def test_a_build_claim_whose_grant_comes_back_is_offered_anew_at_once() -> None:
    """Nothing was executed, so nobody waits for a grace."""
    scene, agent = Scene(), Agent("a")
    scene.says(agent, agent.claim(scene.offered()))
    (grant,) = sent(scene.last, Send)
    scene.returned(grant.message, agent.address)  # type: ignore[arg-type]
    assert scene.state() == "waiting"
    assert len(sent(scene.last, PublishOffer)) == 1


def test_a_command_claim_whose_grant_comes_back_gets_the_grace() -> None:
    """Its agent may have run the command at once."""
    scene, agent = Scene(), Agent("a", request="br-1/lint")
    scene.says(agent, agent.claim(scene.offered("br-1/lint", kind="command", commands=(MAKE,))))
    (grant,) = sent(scene.last, Send)
    scene.returned(grant.message, agent.address)  # type: ignore[arg-type]
    assert scene.state("br-1/lint") == "missing"
    scene.wait(50.0)
    assert scene.state("br-1/lint") == "waiting"


def test_withdraw_while_waiting_ends_it_and_later_claims_are_refused() -> None:
    """WAITING, Stop: done."""
    scene, agent = Scene(), Agent("a")
    offer = scene.offered()
    scene.do(Withdraw(request="br-1"))
    assert sent(scene.last, StateChanged) == [StateChanged(request="br-1", state="done")]
    scene.says(agent, agent.claim(offer))
    assert scene.to(agent) == ["refuse"]


def test_stop_that_races_with_the_accept_releases_the_session() -> None:
    """GRANTED, Stop: release; the accept that was under way is answered by a release and attaches nothing."""
    scene, agent = Scene(), Agent("a")
    scene.says(agent, agent.claim(scene.offered()))
    scene.do(Withdraw(request="br-1"))
    assert scene.to(agent) == ["release"]
    accept = scene.says(agent, agent.accept())
    assert scene.to(agent) == ["release"]
    assert scene.acked() == [accept]
    assert not sent(scene.all, Attach)


def test_a_reroute_offers_anew_and_refuses_claims_of_the_old_signature() -> None:
    """What waits moves to the new queue; an agent that qualified for the old one does not get it."""
    scene, agent = Scene(), Agent("a")
    old = scene.offered()
    scene.do(Reroute(request="br-1", signature="gtk+qt"))
    (offer,) = sent(scene.last, PublishOffer)
    assert (offer.offer.signature, offer.offer.ask) == ("gtk+qt", True)
    scene.says(agent, agent.claim(old))
    assert scene.to(agent) == ["refuse"]
    scene.says(agent, agent.claim(offer.offer.offer))
    assert scene.to(agent) == ["grant"]


def test_rule_12_the_highest_run_is_adopted_and_the_others_refused() -> None:
    """After a restart two agents hold sessions of one request: the later build's counts."""
    scene, old, new = Scene(), Agent("old", run=3), Agent("new", run=4)
    scene.seek(run=5)
    first = scene.says(old, old.resume(executing()))
    assert scene.to(old) == ["hold"]
    scene.says(new, new.resume(executing()))
    scene.settle()
    assert "refuse" in scene.to(old)
    assert first in scene.acked()
    grant = next(s.message for s in sent(scene.last, Send) if s.address == new.address)
    assert isinstance(grant, Grant)
    assert (grant.run, grant.stored) == (5, 0)
    scene.says(new, new.accept())
    assert sent(scene.last, Attach)[0].adopted is True


def test_rule_5_a_resume_nobody_asked_for_is_looked_up_then_held_or_refused() -> None:
    """Complete in Buildbot's database: refused. Else held, unacknowledged, until Buildbot asks."""
    scene, agent, other = Scene(), Agent("a"), Agent("b", request="br-2")
    resume = scene.says(agent, agent.resume(executing()))
    assert sent(scene.last, CheckRequest) == [CheckRequest(request="br-1")]
    assert scene.acked() == []
    scene.do(RequestChecked(request="br-1", complete=False))
    assert scene.to(agent) == ["hold"]
    assert scene.state() == "unasked"
    scene.settle()
    scene.seek(run=2)
    assert scene.to(agent) == ["grant"]
    assert resume not in scene.acked()
    late = scene.says(other, other.resume(executing()))
    scene.do(RequestChecked(request="br-2", complete=True))
    assert scene.to(other) == ["refuse"]
    assert scene.acked() == [late]
    _is_refused_without_a_look(scene, other)


def _is_refused_without_a_look(scene: Scene, agent: Agent) -> None:
    """A session that was given up stays so, whatever it says again."""
    for message in (agent.resume(executing()), agent.claim("o-9")):
        delivery = scene.says(agent, message)
        (refusal,) = sent(scene.last, Send)
        assert isinstance(refusal.message, Refuse)
        assert refusal.message.reason == "this session was given up"
        assert delivery in scene.acked()
        assert not sent(scene.last, CheckRequest)


def test_rule_2_of_a_session_on_the_roll_the_highest_epoch_counts() -> None:
    """An older connection's resume, late, does not bring its address back."""
    scene, agent = Scene(), Agent("a")
    scene.seek()
    agent.epoch = 2
    scene.says(agent, agent.resume(executing()))
    agent.epoch = 1
    late = scene.says(agent, agent.resume(executing()))
    assert scene.acked() == [late]
    agent.epoch = 2
    scene.settle()
    assert "grant" in scene.to(agent)


@pytest.mark.parametrize(
    ("request_", "completed", "seconds"),
    [("br-1", True, 300.0), ("br-1", False, 24 * 3600.0), ("br-1/step-7.12", True, 24 * 3600.0)],
)
def test_rule_12_orphans_are_given_up(request_: str, completed: bool, seconds: float) -> None:
    """A held session that nobody asks for: after 5 minutes without a running command, after a day with one.

    A step's own session after a day in any case: the build that starts over may be long on its way to that step.
    """
    scene, agent = Scene(), Agent("a", request=request_)
    delivery = scene.says(agent, agent.resume(executing(completed=completed)))
    scene.do(RequestChecked(request=request_, complete=False))
    scene.wait(seconds - 1)
    assert scene.state(request_) == "unasked"
    scene.wait(2)
    assert scene.state(request_) == "none"
    assert "refuse" in scene.to(agent)
    assert delivery in scene.acked()
    _is_refused_without_a_look(scene, agent)


def test_a_held_session_is_looked_up_again_and_refused_once_its_request_was_cancelled() -> None:
    """No command of a request that is over runs on until the orphan's time."""
    scene, agent = Scene(), Agent("a")
    scene.says(agent, agent.resume(executing()))
    scene.do(RequestChecked(request="br-1", complete=False))
    assert sent(scene.wait(30.0), CheckRequest)
    scene.do(RequestChecked(request="br-1", complete=True))
    assert scene.to(agent) == ["refuse"]


def test_rule_11_an_old_accept_on_the_roll_keeps_its_session_over_a_second_restart() -> None:
    """Its agent is cut off during the roll call: the accept from before makes the bridge wait, and offer nothing."""
    scene, agent = Scene(), Agent("a")
    scene.seek(run=2, repeated=True)
    scene.says(agent, agent.accept("inc-0"))
    calls = [s for s in sent(scene.settle(), Send) if s.message.t == "rollcall"]  # type: ignore[attr-defined]
    assert not sent(scene.last, PublishOffer)
    scene.returned(calls[0].message, agent.address)  # type: ignore[arg-type]
    assert scene.state() == "missing"
    scene.wait(20.0)
    agent.epoch = 2
    scene.says(agent, agent.resume(executing()))
    assert scene.to(agent) == ["grant"]
    scene.says(agent, agent.accept())
    assert sent(scene.last, Attach)[0].adopted is True


def test_withdraw_in_the_window_leaves_its_sessions_to_buildbots_database() -> None:
    """The build was stopped: its request is complete, so the session that was on the roll is refused."""
    scene, agent = Scene(), Agent("a")
    scene.seek()
    scene.says(agent, agent.resume(executing()))
    scene.do(Withdraw(request="br-1"))
    assert sent(scene.last, CheckRequest)
    scene.do(RequestChecked(request="br-1", complete=True))
    assert scene.to(agent) == ["refuse"]


def test_keep_puts_the_session_back_on_the_roll_and_the_next_seek_adopts_it_from_event_one() -> None:
    """Quick stop, or a removed slot: the agent goes on; its latest delivery stays unacknowledged."""
    scene, agent = Scene(), Agent("a")
    scene.held(agent, commands=(MAKE,))
    scene.says(agent, agent.event(1))
    scene.store(agent, 1)
    scene.do(Keep(request="br-1"))
    assert scene.acked() == []
    assert "release" not in scene.to(agent)
    scene.do(RequestChecked(request="br-1", complete=False))
    scene.seek(run=2)
    grant = sent(scene.last, Send)[0].message
    assert isinstance(grant, Grant)
    assert grant.stored == 0
    scene.says(agent, agent.accept())
    assert sent(scene.last, Attach)[0].adopted is True


def test_done_releases_the_session_and_acknowledges_what_was_kept() -> None:
    """HELD, Buildbot is done with it; an agent that missed the release hears it when it resumes."""
    scene, agent = Scene(), Agent("a")
    scene.held(agent)
    scene.do(Done(request="br-1"))
    assert scene.to(agent) == ["release"]
    assert len(scene.acked()) == 1
    scene.says(agent, agent.resume(executing(completed=True)))
    assert scene.to(agent) == ["release"]


def test_deliveries_of_a_link_that_is_gone_are_never_acknowledged() -> None:
    """They are void, and come again."""
    scene, agent = Scene(), Agent("a")
    scene.held(agent, commands=(MAKE,))
    scene.says(agent, agent.event(1))
    scene.do(LinkDown())
    scene.store(agent, 1)
    assert scene.acked() == []
    scene.do(LinkUp())
    scene.do(Done(request="br-1"))
    assert scene.acked() == []
    scene.do(Tick())
