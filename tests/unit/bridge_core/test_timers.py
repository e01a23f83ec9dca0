"""Named alarms: each rings once, at the time that was set last."""

from __future__ import annotations

from master_bridge.core.timers import Timers

from .scene import Agent, Scene


def test_alarms_ring_in_the_order_of_their_times() -> None:
    """Not before, and once each."""
    timers = Timers()
    assert timers.next is None
    assert timers.pop(1e9) is None
    timers.set("grace", "s2", 20.0)
    timers.set("accept", "s1", 10.0)
    assert timers.next == 10.0
    assert timers.pop(9.9) is None
    assert timers.pop(10.0) == ("accept", "s1")
    assert not timers.is_set("accept", "s1")
    assert timers.next == 20.0
    assert timers.pop(30.0) == ("grace", "s2")
    assert timers.pop(30.0) is None
    assert timers.next is None


def test_an_alarm_that_is_moved_rings_at_its_new_time_only() -> None:
    """Earlier or later; setting it to the same time again changes nothing."""
    timers = Timers()
    timers.set("grace", "s1", 10.0)
    timers.set("grace", "s1", 30.0)
    timers.set("grace", "s2", 20.0)
    assert timers.when("grace", "s1") == 30.0
    assert timers.next == 20.0
    timers.set("grace", "s1", 5.0)
    timers.set("grace", "s1", 5.0)
    assert [timers.pop(99.0), timers.pop(99.0), timers.pop(99.0)] == [("grace", "s1"), ("grace", "s2"), None]


def test_an_alarm_that_is_taken_back_never_rings() -> None:
    """Unless it is set again, to whatever time; one that was never set may be taken back, too."""
    timers = Timers()
    timers.set("grace", "s1", None)
    timers.set("grace", "s1", 10.0)
    timers.set("accept", "s1", 11.0)
    timers.set("grace", "s1", None)
    assert timers.when("grace", "s1") is None
    assert not timers.is_set("grace", "s1")
    assert timers.is_set("accept", "s1")
    assert timers.next == 11.0
    timers.set("grace", "s1", 10.0)
    assert timers.pop(10.0) == ("grace", "s1")
    timers.clear()
    assert timers.next is None
    assert not timers.is_set("accept", "s1")
    assert timers.pop(99.0) is None


def test_an_alarm_of_another_purpose_or_session_is_another_one() -> None:
    """Each has its own time."""
    timers = Timers()
    timers.set("grace", "s1", 10.0)
    assert timers.when("grace", "s2") is None
    assert timers.when("accept", "s1") is None
    assert not timers.is_set("grace", "s2")


def test_of_an_agent_that_is_back_nothing_is_due() -> None:
    """Neither its end, nor the question where it is."""
    scene = Scene()
    agent = scene.held(Agent("a"))
    timers = scene.machine._parts.context.timers
    scene.vanish(agent)
    assert timers.is_set("grace", agent.session)
    timers.set("suspect", agent.session, scene.now + 1.0)
    agent.epoch += 1
    scene.says(agent, agent.resume())
    assert scene.state() == "held"
    assert not timers.is_set("grace", agent.session)
    assert not timers.is_set("suspect", agent.session)
