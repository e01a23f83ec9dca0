"""Claims of command offers that wait at a link-up: until the roll is called, their command may run elsewhere."""

from __future__ import annotations

import pytest

from contracts.messages import Grant, Refuse
from master_bridge.core.actions import Attach, PublishOffer, Send
from master_bridge.core.inputs import Withdraw
from tests.unit.bridge_core.scene import MAKE, Agent, Scene, executing, sent

LINT = "br-1/lint"


def waits(scene: Scene) -> str:
    """A command that waits when the link comes up again; returns its first offer."""
    first = scene.offered(LINT, kind="command", commands=(MAKE,))
    scene.relink()
    return first


def answers(scene: Scene, kind: type[Grant] | type[Refuse]) -> list[str]:
    """Sessions that the last thing answered with `kind`."""
    return [send.message.session for send in sent(scene.last, Send) if isinstance(send.message, kind)]


def test_a_resume_that_comes_after_a_claim_is_adopted_and_the_claim_refused() -> None:
    """Its agent ran the command at once while the master did not hear; a broker that was killed offered it again."""
    scene, runs, claims = Scene(), Agent("a", request=LINT), Agent("b", request=LINT)
    claim = scene.says(claims, claims.claim(waits(scene)))
    assert answers(scene, Grant) == answers(scene, Refuse) == []
    scene.says(runs, runs.resume(executing()))
    assert answers(scene, Grant) == ["s-a"]
    assert answers(scene, Refuse) == ["s-b"]
    assert scene.acked() == [claim]
    scene.settle()
    assert "s-b" not in answers(scene, Grant)


def test_without_a_resume_the_first_claim_is_granted_at_the_end_of_the_roll_call() -> None:
    """Two seconds later, and no agent waits longer for its answer than it would for a silent master."""
    scene, first, second = Scene(), Agent("a", request=LINT), Agent("b", request=LINT)
    offer = waits(scene)
    granted = scene.says(first, first.claim(offer))
    refused = scene.says(second, second.claim(offer))
    scene.settle()
    assert answers(scene, Grant) == ["s-a"]
    assert answers(scene, Refuse) == ["s-b"]
    assert refused in scene.acked()
    assert granted not in scene.acked(), "it is kept (rule 11)"
    scene.says(first, first.accept())
    assert scene.state(LINT) == "held"


def test_a_claimant_that_resumes_meanwhile_is_granted_and_not_refused() -> None:
    """It waited a second for the grant, then ran the command at once."""
    scene, agent = Scene(), Agent("a", request=LINT)
    claim = scene.says(agent, agent.claim(waits(scene)))
    scene.says(agent, agent.resume(executing()))
    assert answers(scene, Grant) == ["s-a"]
    assert answers(scene, Refuse) == []
    assert scene.acked() == [claim]


def test_a_claim_that_waits_for_the_roll_call_is_refused_when_the_command_is_withdrawn() -> None:
    """Its offer vanishes."""
    scene, agent = Scene(), Agent("a", request=LINT)
    claim = scene.says(agent, agent.claim(waits(scene)))
    scene.do(Withdraw(request=LINT))
    assert answers(scene, Refuse) == ["s-a"]
    assert scene.acked() == [claim]


def test_a_claim_that_waited_when_the_link_was_lost_is_void() -> None:
    """Its delivery went with the link: it comes again, or its agent has given it up."""
    scene, agent = Scene(), Agent("a", request=LINT)
    claim = scene.says(agent, agent.claim(waits(scene)))
    scene.relink()
    scene.settle()
    assert answers(scene, Grant) == []
    assert claim not in scene.acked()
    assert scene.state(LINT) == "waiting"


def test_builds_and_commands_outside_a_roll_call_are_granted_at_once() -> None:
    """A build runs nothing before its grant; a command that is sought after the roll call is new."""
    scene, builds, lints = Scene(), Agent("a"), Agent("b", request=LINT)
    offer = scene.offered()
    scene.relink()
    scene.says(builds, builds.claim(offer))
    assert answers(scene, Grant) == ["s-a"]
    scene.says(lints, lints.claim(scene.offered(LINT, kind="command", commands=(MAKE,))))
    assert answers(scene, Grant) == ["s-b"]


@pytest.mark.parametrize("kind", ["build", "command"])
def test_a_resume_that_comes_when_the_request_is_offered_again_is_adopted(kind: str) -> None:
    """Its agent was away for longer than the roll call; whoever claims the new offer after it is refused."""
    scene, late, other = Scene(), Agent("a"), Agent("b")
    scene.seek(kind=kind, commands=(MAKE,) if kind == "command" else (), run=2)
    scene.wait(2.0)
    (anew,) = sent(scene.last, PublishOffer)
    scene.says(late, late.resume(executing()))
    assert answers(scene, Grant) == ["s-a"]
    scene.says(other, other.claim(anew.offer.offer))
    assert answers(scene, Refuse) == ["s-b"]
    scene.says(late, late.accept())
    assert sent(scene.last, Attach)[0].adopted
