"""Commands, events and the end of a session that Buildbot has."""

from __future__ import annotations

import pytest

from contracts.messages import Interrupt, Pull, Replay, Start, Stored
from contracts.timing import STORED_EVERY_BYTES
from master_bridge.core.actions import (
    Abandoned,
    Attach,
    CancelledEarlier,
    DeadOffer,
    Deliver,
    Lost,
    PublishOffer,
    Send,
    ServeData,
    StateChanged,
)
from master_bridge.core.inputs import InterruptCommand, StartCommand
from tests.unit.bridge_core.scene import MAKE, TEST, Agent, Scene, executing, sent


def messages(scene: Scene, kind: type) -> list[object]:
    return [send.message for send in sent(scene.last, Send) if isinstance(send.message, kind)]


def test_commands_are_numbered_from_one_by_the_order_in_which_buildbot_starts_them() -> None:
    """`next_n` tells the number beforehand."""
    scene = Scene()
    scene.held(Agent("a"))
    for n, command in enumerate((MAKE, TEST), 1):
        assert scene.machine.next_n("br-1") == n
        scene.do(StartCommand(request="br-1", command=command))
        (start,) = messages(scene, Start)
        assert isinstance(start, Start)
        assert (start.command.n, start.command.digest) == (n, command.digest)


def test_a_start_for_a_session_that_is_gone_does_nothing() -> None:
    """Buildbot may start a command before it has heard of the loss."""
    scene = Scene()
    assert scene.do(StartCommand(request="br-1", command=MAKE)) == []
    assert scene.do(InterruptCommand(request="br-1", n=1, reason="stop")) == []


def test_rule_13_events_go_to_buildbot_in_order_and_are_acknowledged_when_stored() -> None:
    """Next: delivered and held. Stored: acknowledged, and told within 200 ms."""
    scene, agent = Scene(), Agent("a")
    scene.held(agent, commands=(MAKE,))
    first = scene.says(agent, agent.event(1, kind="started"))
    second = scene.says(agent, agent.event(2, data=b"x"))
    assert sent(scene.last, Deliver)[0].event.seq == 2
    assert scene.acked() == []
    scene.store(agent, 2)
    assert scene.acked() == [first, second]
    scene.wait(0.2)
    (stored,) = messages(scene, Stored)
    assert isinstance(stored, Stored)
    assert stored.stored == 2


def test_rule_13_stored_is_told_at_once_after_a_mebibyte() -> None:
    """So the agent's window never runs dry under a fast log."""
    scene, agent = Scene(), Agent("a")
    scene.held(agent, commands=(MAKE,))
    size = STORED_EVERY_BYTES // 4
    for seq in range(1, 5):
        scene.says(agent, agent.event(seq, data=b"x" * size))
        scene.store(agent, seq)
    assert len(messages(scene, Stored)) == 1


def test_rule_13_a_seen_event_is_dropped_and_stored_told() -> None:
    """The agent did not hear of it."""
    scene, agent = Scene(), Agent("a")
    scene.held(agent, commands=(MAKE,))
    scene.says(agent, agent.event(1))
    again = scene.says(agent, agent.event(1))
    assert scene.acked() == [again]
    assert not sent(scene.last, Deliver)
    scene.wait(0.2)
    assert len(messages(scene, Stored)) == 1


def test_rule_13_a_gap_asks_for_a_replay_at_most_once_a_second() -> None:
    """Events after the gap are dropped: they come again."""
    scene, agent = Scene(), Agent("a")
    scene.held(agent, commands=(MAKE,))
    late = scene.says(agent, agent.event(2))
    assert scene.acked() == [late]
    assert len(messages(scene, Replay)) == 1
    scene.says(agent, agent.event(3))
    assert not messages(scene, Replay)
    scene.wait(1.0)
    assert len(messages(scene, Replay)) == 1


def test_events_of_a_command_that_buildbot_has_not_started_are_dropped_and_asked_for_when_it_has() -> None:
    """An adopted session's journal may be ahead of Buildbot."""
    scene, agent = Scene(), Agent("a", run=1)
    scene.settle()
    scene.says(agent, agent.resume(executing()))
    scene.seek(run=2)
    scene.says(agent, agent.accept())
    early = scene.says(agent, agent.event(1))
    assert scene.acked() == [early]
    assert not messages(scene, Replay)
    scene.do(StartCommand(request="br-1", command=MAKE))
    assert scene.to(agent) == ["start", "replay"]
    scene.says(agent, agent.event(1))
    assert len(sent(scene.last, Deliver)) == 1


def test_after_a_restart_the_whole_build_is_answered_from_the_journal() -> None:
    """The adopted session's commands start at one again, and each event reaches the new build once."""
    scene, agent = Scene(), Agent("a", run=1)
    scene.seek(run=2, repeated=True)
    scene.says(agent, agent.resume(executing(1, completed=True), executing(2)))
    scene.settle()
    scene.says(agent, agent.accept())
    for n, command in enumerate((MAKE, TEST), 1):
        assert scene.machine.next_n("br-1") == n
        scene.do(StartCommand(request="br-1", command=command))
        scene.says(agent, agent.event(n, n, "completed"))
    assert [d.event.seq for d in sent(scene.all, Deliver)] == [1, 2]


def test_a_resume_of_the_held_session_is_granted_from_stored_and_repeats_what_is_open() -> None:
    """Starts and interrupts that have not completed are sent again after the accept; Buildbot is not attached twice."""
    scene, agent = Scene(), Agent("a")
    scene.held(agent, commands=(MAKE, TEST))
    scene.says(agent, agent.event(1, 1, "completed"))
    scene.store(agent, 1)
    scene.do(InterruptCommand(request="br-1", n=2, reason="stop"))
    agent.epoch = 2
    scene.says(agent, agent.resume(executing(1, completed=True), executing(2)))
    assert sent(scene.last, Send)[0].message.stored == 1  # type: ignore[attr-defined]
    scene.says(agent, agent.accept())
    assert [start.command.n for start in messages(scene, Start)] == [2]  # type: ignore[attr-defined]
    assert [stop.n for stop in messages(scene, Interrupt)] == [2]  # type: ignore[attr-defined]
    assert len(sent(scene.all, Attach)) == 1


def test_rule_14_an_interrupt_that_we_did_not_ask_for_cancels_the_request() -> None:
    """We crashed after the Stop. The cancellation is known before the completion arrives."""
    scene, agent = Scene(), Agent("a")
    scene.held(agent, commands=(MAKE,))
    scene.says(agent, agent.event(1, kind="completed", interrupted="stop"))
    kinds = [type(action) for action in scene.last]
    assert kinds.index(CancelledEarlier) < kinds.index(Deliver)


def test_rule_14_an_interrupt_that_we_asked_for_cancels_nothing() -> None:
    """Buildbot knows of it."""
    scene, agent = Scene(), Agent("a")
    scene.held(agent, commands=(MAKE,))
    scene.do(InterruptCommand(request="br-1", n=1, reason="stop"))
    scene.says(agent, agent.event(1, kind="completed", interrupted="stop"))
    assert not sent(scene.last, CancelledEarlier)


def test_an_interrupt_of_a_missing_agent_is_sent_when_it_is_back() -> None:
    """Nothing is sent into the void, nothing is forgotten."""
    scene, agent = Scene(), Agent("a")
    scene.held(agent, commands=(MAKE,))
    scene.vanish(agent)
    scene.do(InterruptCommand(request="br-1", n=1, reason="stop"))
    assert scene.last == []
    agent.epoch = 2
    scene.says(agent, agent.resume(executing()))
    scene.says(agent, agent.accept())
    assert scene.to(agent) == ["start", "interrupt"]


def test_a_command_offer_is_followed_without_start_command_and_its_starts_open_the_agents_gate() -> None:
    """Its commands are numbered in the offer; events are delivered as they come."""
    scene, agent = Scene(), Agent("a", request="br-1/lint")
    offer = scene.offered("br-1/lint", kind="command", commands=(MAKE, TEST))
    assert [c.n for c in sent(scene.last, PublishOffer)[0].offer.commands] == [1, 2]
    scene.says(agent, agent.claim(offer))
    scene.says(agent, agent.accept())
    assert scene.to(agent) == ["start", "start"]
    scene.says(agent, agent.event(1))
    assert len(sent(scene.last, Deliver)) == 1


def test_a_pull_is_served_while_buildbot_has_the_session() -> None:
    """Bytes of a download; of a command that was never started: nothing."""
    scene, agent = Scene(), Agent("a")
    scene.held(agent, commands=(MAKE,))
    scene.says(agent, Pull(session=agent.session, n=1, offset=5, length=10))
    (serve,) = sent(scene.last, ServeData)
    assert (serve.n, serve.offset, serve.length, serve.address) == (1, 5, 10, agent.address)
    scene.says(agent, Pull(session=agent.session, n=2, offset=5, length=10))
    assert not sent(scene.last, ServeData)
    assert len(scene.acked()) == 1


@pytest.mark.parametrize("reason", ["lost", "diverged", "unknown"])
def test_rule_7_gone_after_the_accept_is_lost_at_once_and_never_answered(reason: str) -> None:
    """No grace; an answer would be answered by another `gone`."""
    scene, agent = Scene(), Agent("a")
    scene.held(agent, commands=(MAKE,))
    scene.says(agent, agent.event(1))
    scene.says(agent, agent.gone(reason))
    (lost,) = sent(scene.last, Lost)
    assert "agent a" in lost.reason
    assert reason in lost.reason
    assert scene.to(agent) == []
    assert len(scene.acked()) == 3  # the gone, the accept that was kept, the event that was not stored
    assert scene.state() == "none"
    assert sent(scene.last, StateChanged) == [StateChanged(request="br-1", state="none")]
    scene.says(agent, agent.resume())
    assert scene.to(agent) == ["refuse"]


def _lose(scene: Scene, life: int, reason: str = "lost") -> None:
    agent = Agent(f"a{life}", run=life)
    scene.held(agent, commands=(MAKE,))
    scene.says(agent, agent.gone(reason))


def test_rule_20_the_third_agent_lost_with_a_command_running_ends_the_request() -> None:
    """Two losses are Buildbot's to retry; the third sends the offer to `dead` and the build ends."""
    scene = Scene()
    _lose(scene, 1)
    _lose(scene, 2)
    assert len(sent(scene.all, Lost)) == 2
    _lose(scene, 3)
    assert len(sent(scene.all, Lost)) == 2
    assert len(sent(scene.last, Abandoned)) == len(sent(scene.last, DeadOffer)) == 1
    assert scene.state() == "none"


def test_rule_20_an_agent_that_stays_away_while_a_command_runs_takes_a_life_too() -> None:
    """Nobody can say whether the command ended it."""
    scene = Scene()
    for life in range(1, 4):
        agent = Agent(f"a{life}", run=life)
        scene.held(agent, commands=(MAKE,))
        scene.vanish(agent)
        scene.wait(6.0)
    assert len(sent(scene.all, Lost)) == 2
    assert len(sent(scene.all, Abandoned)) == 1


def test_rule_20_divergence_and_idle_losses_take_no_life() -> None:
    """Only agents that died while they ran a command count."""
    scene = Scene()
    for life in range(1, 5):
        _lose(scene, life, "diverged")
    for life in range(5, 9):
        agent = Agent(f"a{life}", run=life)
        scene.held(agent)
        scene.says(agent, agent.gone("lost"))
    assert not sent(scene.all, Abandoned)


def test_a_held_request_is_shown_with_its_agent_signature_age_and_what_is_stored() -> None:
    """What pages, metrics and waiting messages read."""
    scene, agent = Scene(), Agent("a")
    scene.settle()
    asked = scene.now
    scene.held(agent, commands=(MAKE,))
    scene.says(agent, agent.event(1))
    scene.store(agent, 1)
    (view,) = scene.machine.requests()
    assert (view.agent, view.signature, view.stored) == ("a", "gtk", 1)
    assert asked <= view.since <= scene.now


def test_rule_13_what_is_stored_is_told_again_and_again() -> None:
    """Each time what is new by then."""
    scene, agent = Scene(), Agent("a")
    scene.held(agent, commands=(MAKE,))
    size = STORED_EVERY_BYTES
    for seq in (1, 2):
        scene.says(agent, agent.event(seq, data=b"x" * size))
        scene.store(agent, seq)
        (told,) = messages(scene, Stored)
        assert isinstance(told, Stored)
        assert told.stored == seq
