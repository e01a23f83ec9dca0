"""What is left of requests that are over: offered again while they wait, swept out when nobody waits any more."""

from __future__ import annotations

from contracts.messages import Offer
from contracts.timing import REOFFER_AFTER
from master_bridge.core.actions import PublishOffer, SweepOffers
from master_bridge.core.inputs import Declared, Done, LinkBlocked, LinkDown, LinkUp, Reroute, Withdraw
from tests.unit.bridge_core.scene import MAKE, Agent, Scene, sent


def offers(scene: Scene) -> list[Offer]:
    return [action.offer for action in sent(scene.all, PublishOffer)]


def sweeps(scene: Scene, seconds: float) -> list[str]:
    return [action.signature for action in sent(scene.wait(seconds), SweepOffers)]


def test_a_request_that_waits_long_is_offered_again_at_doubling_intervals() -> None:
    """Its offer may have been purged or buried: 10, 20, 40, 80 minutes after it began to wait."""
    scene = Scene()
    scene.offered()
    scene.wait(8 * REOFFER_AFTER + 1)
    first = offers(scene)[0].published
    assert [round(offer.published - first) for offer in offers(scene)] == [0, 600, 1200, 2400, 4800]
    assert all(offer.ask for offer in offers(scene)[1:])


def test_what_is_granted_is_not_offered_again() -> None:
    """Nobody waits for it."""
    scene = Scene()
    scene.held(Agent("a"))
    scene.wait(3 * REOFFER_AFTER)
    assert len(offers(scene)) == 1


def test_waiting_is_counted_on_after_the_link_was_blocked() -> None:
    """A resource alarm at the broker stops the alarm clock, not for ever."""
    scene = Scene()
    scene.offered()
    scene.do(LinkBlocked(blocked=True))
    scene.wait(2 * REOFFER_AFTER)
    assert len(offers(scene)) == 1
    scene.do(LinkBlocked(blocked=False))
    scene.wait(2 * REOFFER_AFTER)
    assert len(offers(scene)) == 2


def test_the_last_request_out_has_its_queue_looked_through() -> None:
    """After 2 s, when what was parked is back, and when the broker has noticed that its agent is gone."""
    scene = Scene()
    scene.held(Agent("a"))
    scene.do(Done(request="br-1"))
    assert sweeps(scene, 2.0) == ["gtk"]
    assert sweeps(scene, 9.5) == []
    assert sweeps(scene, 0.6) == ["gtk"]
    assert sweeps(scene, 60.0) == ["gtk"]
    assert sweeps(scene, 1000.0) == []


def test_what_may_be_left_is_looked_for_again_behind_a_new_link() -> None:
    """In the same queue."""
    scene = Scene()
    scene.held(Agent("a"))
    scene.do(Done(request="br-1"))
    scene.do(LinkDown())
    assert sweeps(scene, 10.0) == []
    scene.do(LinkUp())
    assert sweeps(scene, 2.0) == ["gtk"]


def test_no_queue_is_looked_through_while_a_request_waits_in_it() -> None:
    """Its offer stays within agents' reach; its own end brings the next look."""
    scene = Scene()
    scene.held(Agent("a"))
    scene.seek("br-2")
    scene.do(Done(request="br-1"))
    assert sweeps(scene, 100.0) == []
    scene.do(Withdraw(request="br-2"))
    assert sweeps(scene, 2.0) == ["gtk"]


def test_many_ends_make_few_looks() -> None:
    """At most one in 10 s."""
    scene = Scene()
    scene.settle()
    scene.all.clear()
    for number in range(100):
        scene.seek(f"br-{number}")
        scene.do(Withdraw(request=f"br-{number}"))
        scene.wait(1.0)
    assert len(sent(scene.all, SweepOffers)) == 10
    assert len(sweeps(scene, 100.0)) in (2, 3)


def test_a_rerouted_request_leaves_nothing_in_its_old_queue() -> None:
    """It waits elsewhere now."""
    scene = Scene()
    scene.offered()
    scene.do(Reroute(request="br-1", signature="qt"))
    assert sweeps(scene, 2.0) == ["gtk"]


def test_a_withdrawn_command_is_looked_for_at_once() -> None:
    """The first agent that takes its offer would run it; a build's is only claimed. Twice within 10 s, too."""
    scene = Scene()
    scene.settle()
    for request in ("br-1/step-1", "br-2/step-1"):
        scene.all.clear()
        scene.seek(request, kind="command", commands=(MAKE,))
        scene.do(Withdraw(request=request))
        assert [action.signature for action in sent(scene.all, SweepOffers)] == ["gtk"]
        assert [action.signature for action in sent(scene.wait(1.0), SweepOffers)] == []


def test_nor_is_it_looked_for_while_another_waits_there() -> None:
    """Whichever of the two was withdrawn; the last one's end brings the look."""
    scene = Scene()
    scene.settle()
    scene.seek("br-1/step-1", kind="command", commands=(MAKE,))
    scene.seek("br-2/step-1", kind="command", commands=(MAKE,))
    scene.all.clear()
    scene.do(Withdraw(request="br-1/step-1"))
    assert sweeps(scene, 100.0) == []
    scene.do(Withdraw(request="br-2/step-1"))
    assert [action.signature for action in sent(scene.all, SweepOffers)] == ["gtk"]


def test_a_command_that_moves_to_another_queue_is_looked_for_at_once() -> None:
    """It would run twice."""
    scene = Scene()
    scene.settle()
    scene.seek("br-1/step-1", kind="command", commands=(MAKE,))
    scene.all.clear()
    scene.do(Reroute(request="br-1/step-1", signature="qt"))
    assert [action.signature for action in sent(scene.all, SweepOffers)] == ["gtk"]


def test_a_command_that_is_over_has_no_offer_that_would_be_run() -> None:
    """Its agent has acknowledged it: the queue is looked through in time, with others' ends."""
    scene = Scene()
    scene.settle()
    scene.seek("br-1/step-1", kind="command", commands=(MAKE,))
    agent = Agent("a", request="br-1/step-1")
    scene.says(agent, agent.claim(offers(scene)[0].offer))
    scene.says(agent, agent.accept())
    scene.all.clear()
    scene.do(Done(request="br-1/step-1"))
    assert sent(scene.all, SweepOffers) == []
    assert sweeps(scene, 2.0) == ["gtk"]


def test_a_sweep_waits_for_the_link() -> None:
    """What ended while the link was down is swept when it is up."""
    scene = Scene()
    scene.held(Agent("a"))
    scene.do(LinkDown())
    scene.do(Done(request="br-1"))
    assert sweeps(scene, 30.0) == []
    scene.do(LinkUp())
    assert sweeps(scene, 2.0) == ["gtk"]


def test_all_queues_are_looked_through_after_the_start() -> None:
    """An earlier incarnation may have left offers where this one never looks for an agent (last_agents 88025)."""
    scene = Scene()
    scene.do(Declared(signatures=frozenset({"gtk", "qt"})))
    assert sweeps(scene, 2.0) == ["gtk", "qt"]
    assert sweeps(scene, 100.0) == ["gtk", "qt", "gtk", "qt"]
    scene.do(Declared(signatures=frozenset({"gtk", "qt"})))
    assert sweeps(scene, 100.0) == [], "nothing is new"
    scene.do(Declared(signatures=frozenset({"qt", "python"})))
    assert sweeps(scene, 2.0) == ["python"]


def test_a_queue_in_which_a_request_waits_is_left_alone_after_the_start() -> None:
    """Its end brings the next look."""
    scene = Scene()
    scene.offered()
    scene.do(Declared(signatures=frozenset({"gtk"})))
    assert sweeps(scene, 100.0) == []
    scene.do(Withdraw(request="br-1"))
    assert sweeps(scene, 2.0) == ["gtk"]


def test_what_is_stale_is_what_a_claim_would_be_refused_for() -> None:
    """Neither another master's nor what still may be granted."""
    scene = Scene()
    scene.offered()
    (first,) = offers(scene)
    stale = scene.machine.is_stale
    assert not stale(first)
    assert not stale(first.model_copy(update={"master": "other"}))
    assert stale(first.model_copy(update={"offer": "o-of-an-earlier-incarnation"}))
    scene.relink()
    assert not stale(first), "in the roll call nothing is known for sure"
    scene.settle()
    assert not stale(first), "both of its offers may still be granted"
    agent = Agent("a")
    scene.says(agent, agent.claim(offers(scene)[1].offer))
    scene.says(agent, agent.accept())
    assert stale(first), "another session holds its request"
    scene.do(Done(request="br-1"))
    assert stale(first)
    assert not stale(first.model_copy(update={"master": "other"}))


def test_an_offer_of_an_earlier_incarnation_is_stale_though_its_request_was_never_met() -> None:
    """A claim of it is refused, but where no agent claims any more it would lie there for ever."""
    scene = Scene()
    scene.offered()
    earlier = offers(scene)[0].model_copy(update={"request": "br-99", "offer": "o-99"})
    agent = Agent("a", request="br-99")
    scene.says(agent, agent.claim("o-99"))
    assert scene.to(agent) == ["refuse"]
    assert scene.machine.is_stale(earlier)
    assert scene.machine.is_stale(earlier.model_copy(update={"request": "br-98"})), "nobody ever spoke of it"
    scene.seek("br-98")
    (anew,) = sent(scene.last, PublishOffer)
    assert not scene.machine.is_stale(anew.offer), "sought again it is offered anew"
