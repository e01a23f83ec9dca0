"""Messages that are not to be believed change nothing and end in `bb.dead`, with the reason."""

from __future__ import annotations

import pytest

from contracts.messages import (
    Alive,
    AnyMessage,
    Data,
    Grant,
    Hold,
    Interrupt,
    Later,
    Marker,
    Ping,
    Pull,
    Refuse,
    Release,
    Replay,
    RollCall,
    Steer,
    Stored,
)
from master_bridge.core.actions import Ack, DeadLetter, SendMarker
from tests.unit.bridge_core.scene import MAKE, Agent, Scene, executing, sent

S = {"session": "s-a", "incarnation": "inc-1"}
WRONG_WAY: list[AnyMessage] = [
    Grant(session="s-a", master="m", incarnation="inc-1", run=1, stored=0, ticket="t"),
    Refuse(session="s-a", master="m", re="claim", reason="x"),
    Later(session="s-a", master="m", request="br-1"),
    Hold(session="s-a", master="m", request="br-1"),
    Interrupt(**S, n=1, reason="x"),
    Ping(**S, stored=0),
    Stored(**S, stored=0),
    Replay(**S, stored=0),
    Release(**S),
    Data(**S, n=1, offset=0, size=0),
    RollCall(master="m", incarnation="inc-1"),
    Alive(master="m", incarnation="inc-1"),
    Steer(order="stop"),
]


def dead(scene: Scene, delivery: int) -> str:
    """The reason; nothing else may have happened."""
    letter, ack = scene.last
    assert isinstance(letter, DeadLetter)
    assert isinstance(ack, Ack)
    assert letter.delivery == ack.delivery == delivery
    return letter.reason


@pytest.mark.parametrize("message", WRONG_WAY, ids=lambda message: message.t)
def test_what_only_a_bridge_or_an_operator_sends_is_dead(message: AnyMessage) -> None:
    """Wrong direction."""
    scene = Scene()
    scene.held(Agent("a"))
    assert repr(message.t) in dead(scene, scene.hear(message, "u-a"))


def test_a_claim_with_another_users_address_is_dead() -> None:
    """Answers would go to a stranger's queue."""
    scene, agent = Scene(), Agent("a")
    offer = scene.offered()
    assert "u-a" in dead(scene, scene.hear(agent.claim(offer), "mallory"))
    assert scene.state() == "waiting"


@pytest.mark.parametrize("what", ["resume", "accept", "gone"])
def test_who_speaks_for_another_users_session_is_dead(what: str) -> None:
    """Mallory has an address of his own, and knows the session's id."""
    scene = Scene()
    scene.held(Agent("a"))
    mallory = Agent("a", user="mallory")
    mallory.epoch = 9
    assert "session s-a" in dead(scene, scene.says(mallory, getattr(mallory, what)()))
    assert scene.state() == "held"


def test_events_and_pulls_of_another_user_are_dead() -> None:
    """They would end up in a stranger's log."""
    scene, agent = Scene(), Agent("a")
    scene.held(agent, commands=(MAKE,))
    dead(scene, scene.hear(agent.event(1), "mallory"))
    dead(scene, scene.hear(Pull(session="s-a", n=1, offset=0, length=1), "mallory"))


def test_sessions_on_the_roll_are_protected_in_the_same_way() -> None:
    """Also before Buildbot asks for them."""
    scene, agent = Scene(), Agent("a")
    scene.says(agent, agent.resume(executing()))
    mallory = Agent("a", user="mallory")
    dead(scene, scene.says(mallory, mallory.gone()))


def test_a_session_of_another_request_or_instance_is_dead() -> None:
    """One id, two meanings: a broken agent."""
    scene = Scene()
    scene.held(Agent("a"))
    liar = Agent("a", request="br-2")
    assert "br-2" in dead(scene, scene.says(liar, liar.resume()))
    other = Agent("b", session="s-a", user="u-a")
    assert "instance" in dead(scene, scene.says(other, other.resume()))


def test_a_letter_for_another_master_is_dead() -> None:
    """It came to the wrong queue."""
    scene, agent = Scene(), Agent("a")
    resume = agent.resume().model_copy(update={"master": "other"})
    assert "other" in dead(scene, scene.hear(resume, "u-a"))


def test_a_forged_marker_closes_no_window() -> None:
    """Only our own broker user sends markers."""
    scene = Scene()
    scene.seek()
    scene.wait(2.0, markers=False)
    assert sent(scene.last, SendMarker)
    dead(scene, scene.hear(Marker(incarnation="inc-1", k=1), "mallory"))
    assert scene.state() == "window"


def test_events_of_a_session_that_is_over_are_dropped_quietly() -> None:
    """They were under way: nobody forged anything."""
    scene, agent = Scene(), Agent("a")
    delivery = scene.says(agent, agent.event(1))
    assert scene.last == [Ack(delivery=delivery)]
