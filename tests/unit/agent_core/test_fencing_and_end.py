"""Strict fencing, drain, stop, wellness, and what an agent finds of itself after a restart."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.messages import Event, Gone, Resume
from contracts.timing import ASIDE_AFTER, ORPHAN_IDLE
from worker_agent.core import actions, inputs
from worker_agent.core.availability import Order
from worker_agent.core.journal import MemoryJournal

from .harness import AFTER_GTK, QUEUES, Agent, command_offer, offer

# ---- strict fencing


def fenced() -> tuple[Agent, int]:
    agent = Agent()
    delivery = agent.held(offer(fencing=20.0))
    agent.start(1)
    agent.write((1, "started"))
    return agent, delivery


def test_strict_fencing_kills_what_runs_after_its_seconds_without_contact() -> None:
    """And answers gone."""
    agent, delivery = fenced()
    assert "CloseSession" not in [type(action).__name__ for action in agent.wait(19.9)]
    agent.wait(0.2)
    assert agent.kinds == ["Alarm", "CloseSession", "gone", "GiveBack", "Consume"]
    assert actions.GiveBack(delivery=delivery) in agent.did
    agent.ping()
    assert [gone.reason for gone in agent.said(Gone)] == ["killed"]


def test_strict_fencing_holds_without_a_link_and_is_told_at_the_next() -> None:
    """That is what it is for."""
    agent, _ = fenced()
    agent.link_down()
    agent.wait(20)
    assert agent.kinds == ["Alarm", "CloseSession"]
    agent.link_up()
    assert [gone.reason for gone in agent.said(Gone)] == ["killed"]


def test_contact_with_the_bridge_starts_the_fence_afresh_and_the_keeper_learns_it() -> None:
    """Only the word of the incarnation that holds the session is contact."""
    agent, _ = fenced()
    agent.wait(15)
    agent.ping()
    assert actions.Contact(session="s1") in agent.did
    agent.ping(incarnation="I0")
    assert agent.did == []
    agent.alive()
    agent.wait(19)
    assert agent.states == ["held"]


def test_a_word_that_waited_while_the_machine_was_suspended_is_no_contact() -> None:
    """The fence comes first, then the ping that lay in the socket's buffer."""
    agent, _ = fenced()
    agent.at += 30
    agent.ping()
    assert agent.kinds == ["Alarm", "CloseSession", "gone", "GiveBack", "gone", "Consume"]


def test_strict_fencing_spares_a_session_in_which_nothing_runs() -> None:
    """Between two steps there is nothing to kill, and nothing starts without contact."""
    agent, _ = fenced()
    agent.write((1, "completed"))
    agent.wait(100)
    assert agent.states == ["held"]


# ---- drain, stop, wellness


def test_drain_takes_nothing_new_and_exits_after_the_last_release() -> None:
    """What is held is brought to its end."""
    agent = Agent(slots=2)
    agent.running()
    agent.tell(inputs.Leave())
    assert agent.did == [actions.CancelConsumers()]
    assert agent.machine.availability.order is Order.LEAVE
    late = agent.offer(offer("o2"))
    assert agent.did == [actions.GiveBack(delivery=late)]
    agent.release()
    assert agent.kinds == ["CloseSession", "Ack", "Exit"]


def test_drain_gives_a_pending_claim_back() -> None:
    """Table: CLAIMING, drain."""
    agent = Agent()
    delivery = agent.offer(offer())
    agent.tell(inputs.Leave())
    assert agent.did == [actions.GiveBack(delivery=delivery), actions.Exit()]


def test_an_idle_agent_drains_at_once_and_says_nothing_afterwards() -> None:
    """Exit is the last action."""
    agent = Agent()
    agent.tell(inputs.Leave())
    assert agent.did == [actions.CancelConsumers(), actions.Exit()]
    assert agent.link_up() == []
    assert agent.machine.deadline is None


def test_a_drain_may_be_taken_back() -> None:
    """It consumes again."""
    agent = Agent(slots=2)
    agent.running()
    agent.tell(inputs.Leave())
    agent.tell(inputs.ResumeWork())
    assert agent.did == [actions.Consume(queues=AFTER_GTK)]
    assert agent.machine.availability.order is Order.WORK


def test_a_parked_agent_takes_nothing_new_and_stays() -> None:
    """A drain without exit: what is held ends as usual, however often it is asked for; resume takes work again."""
    agent = Agent(slots=2)
    agent.running()
    agent.tell(inputs.Pause())
    assert agent.did == [actions.CancelConsumers()]
    agent.tell(inputs.Pause())
    assert agent.did == []
    late = agent.offer(offer("o2"))
    assert agent.did == [actions.GiveBack(delivery=late)]
    agent.release()
    assert agent.kinds == ["CloseSession", "Ack"]
    assert agent.machine.availability.order is Order.PAUSE
    agent.tell(inputs.ResumeWork())
    assert agent.did == [actions.Consume(queues=AFTER_GTK)]


def test_a_parked_agent_may_be_told_to_leave() -> None:
    """A drain with exit of a parked agent that holds nothing: it exits, nothing is killed by a second thought."""
    agent = Agent()
    agent.tell(inputs.Pause())
    agent.tell(inputs.Leave())
    assert agent.did == [actions.Exit()]


def test_a_parked_agent_stays_parked_on_a_new_link() -> None:
    """A new connection is no reason to take work."""
    agent = Agent()
    agent.tell(inputs.Pause())
    agent.link_down()
    agent.link_up()
    assert "Consume" not in agent.kinds


@pytest.mark.parametrize("how", ["stop", "second drain"])
def test_stop_kills_tells_the_bridge_and_gives_the_offer_back(how: str) -> None:
    """A second drain is a stop."""
    agent = Agent()
    delivery = agent.running()
    if how == "stop":
        agent.tell(inputs.Stop())
    else:
        agent.tell(inputs.Leave())
        agent.tell(inputs.Leave())
    assert agent.kinds == ["CloseSession", "gone", "GiveBack", "Exit"]
    assert agent.said(Gone)[0].reason == "killed"
    assert actions.GiveBack(delivery=delivery) in agent.did


def test_an_unfit_agent_takes_nothing_new_and_ends_what_it_holds() -> None:
    """Fit again, it consumes again."""
    agent = Agent(slots=2)
    agent.running()
    agent.tell(inputs.Wellness(reasons=("disk full",)))
    assert agent.did == [actions.CancelConsumers()]
    agent.start(2)
    assert agent.of(actions.RunCommand)
    agent.tell(inputs.Wellness(reasons=()))
    assert agent.did == [actions.Consume(queues=AFTER_GTK)]


# ---- start with a journal


def journal(*events: tuple[int, str]) -> MemoryJournal:
    found = MemoryJournal()
    for seq, (n, kind) in enumerate(events, 1):
        value = {"name": "shell", "digest": f"d{n}"} if kind == "started" else None
        found.append(Event(session="s0", seq=seq, n=n, kind=kind, value=value))
    return found


def restarted(events: MemoryJournal, *, alive: bool = True, last_seq: int | None = None, **meta: Any) -> Agent:
    """An agent that finds session s0 in its state folder."""
    fields: dict[str, Any] = {"offer": offer(), "resumes": True, "granted": True, "slot": 0, **meta}
    found = inputs.Recovered(
        meta=inputs.SessionMeta(session="s0", **fields),
        alive=alive,
        last_seq=events.last_seq("s0") if last_seq is None else last_seq,
    )
    agent = Agent(recovered=[found], journal=events, linked=False)
    agent.tell(inputs.QueuesKnown(queues=QUEUES))
    return agent


def test_a_recovered_session_that_lives_resumes_with_what_it_executed() -> None:
    """Table: start with a journal, command alive."""
    agent = restarted(journal((1, "started"), (1, "completed"), (2, "started")), run=7)
    assert agent.states == ["held"]
    agent.link_up()
    [resume] = agent.said(Resume)
    assert resume.run == 7
    assert [(c.n, c.digest, c.completed) for c in resume.commands] == [(1, "d1", True), (2, "d2", False)]
    assert not agent.of(actions.Consume), "its slot is taken"


def test_a_recovered_session_publishes_and_follows_after_grant_and_start() -> None:
    """The gate is closed: it was granted before; nothing runs twice."""
    agent = restarted(journal((1, "started"), (1, "stdout")))
    agent.link_up()
    assert agent.seqs == []
    agent.grant("s0", "I1", stored=1)
    assert agent.seqs == []
    agent.start(1, session="s0")
    assert agent.seqs == [2]
    assert not agent.of(actions.RunCommand)


def test_a_recovered_session_may_be_released_without_a_grant_to_this_process() -> None:
    """The answer to its resume, by the bridge that had released it while the agent was down."""
    agent = restarted(journal((1, "started"), (1, "completed")))
    agent.link_up()
    agent.release("s0")
    assert agent.kinds == ["CloseSession", "Consume"]


def test_a_recovered_session_that_was_never_granted_publishes_at_once() -> None:
    """A command offer that runs without a master."""
    agent = restarted(journal((1, "started")), offer=command_offer(), granted=False)
    agent.link_up()
    assert agent.kinds[:2] == ["resume", "event"]


def test_a_recovered_command_offer_goes_on_with_its_next_command() -> None:
    """Out of what `recovered` causes, which comes with the first input."""
    agent = restarted(journal((1, "started"), (1, "completed")), offer=command_offer(commands=2))
    assert [a.command.n for a in agent.all if isinstance(a, actions.RunCommand)] == [2]


def test_a_command_that_never_reached_its_keeper_runs_when_it_is_started_again() -> None:
    """The main process died between `Persist` and `RunCommand`."""
    agent = restarted(journal())
    agent.link_up()
    agent.grant("s0")
    agent.start(1, session="s0")
    assert agent.of(actions.RunCommand)


def test_a_recovered_session_whose_processes_are_gone_is_told_gone_and_cleaned_up() -> None:
    """Table: start with a journal, command dead."""
    agent = restarted(journal((1, "started")), alive=False)
    assert actions.CloseSession(session="s0") in agent.did
    agent.link_up()
    [gone] = agent.said(Gone)
    assert (gone.session, gone.reason) == ("s0", "lost")
    assert agent.of(actions.Consume)
    agent.ping(session="s0")
    agent.grant("s0")
    assert [gone.reason for gone in agent.said(Gone)] == ["lost"]


def test_a_recovered_session_that_has_finished_needs_no_keeper() -> None:
    """All its events are in the journal."""
    agent = restarted(journal((1, "started"), (1, "completed")), alive=False, offer=command_offer())
    agent.link_up()
    assert [resume.session for resume in agent.said(Resume)] == ["s0"]


def test_a_recovered_session_with_holes_in_its_journal_is_lost() -> None:
    """It cannot be replayed."""
    agent = restarted(journal((1, "started")), last_seq=5)
    assert actions.CloseSession(session="s0") in agent.did
    agent.link_up()
    assert agent.said(Gone)[0].reason == "lost"


def test_a_recovered_claim_is_cleaned_up_without_a_word() -> None:
    """Nothing was executed: whoever claims the offer next starts afresh."""
    agent = restarted(journal(), resumes=False, granted=False, offer=command_offer())
    assert agent.did == [actions.CloseSession(session="s0")]
    agent.link_up()
    assert agent.kinds == ["Consume"]


def test_a_recovered_session_that_is_aside_holds_no_slot_and_resumes() -> None:
    """Its keeper has ended by design."""
    agent = restarted(journal((1, "started"), (1, "completed")), alive=False, aside=True, offer=command_offer())
    assert agent.states == ["idle", "aside"]
    agent.link_up()
    assert agent.kinds == ["resume", "Consume"]
    agent.grant("s0")
    agent.start(1, session="s0")
    assert agent.seqs == [1, 2]
    agent.release("s0")
    assert agent.did == [actions.CloseSession(session="s0")]


def test_slots_are_told_with_their_session_master_title_and_since() -> None:
    """For the fleet view."""
    agent = Agent(slots=2)
    agent.at += 5
    agent.held(offer(title="linux #17"))
    held, idle = agent.machine.slots()
    assert (held.state, held.session, held.master, held.title, held.since) == ("held", "s1", "m", "linux #17", 105.0)
    assert (idle.state, idle.since) == ("idle", 100.0)


# ---- drain: for what it waits


@pytest.mark.parametrize("asked", [inputs.Leave(), inputs.Pause()])
def test_a_drain_does_not_wait_for_a_session_without_a_command_of_a_silent_master(
    asked: inputs.Leave | inputs.Pause,
) -> None:
    """Nothing is lost with it: 10 s after its master's last word it is given back, and its bridge is told."""
    agent = Agent()
    agent.held()
    agent.tell(asked)
    assert agent.machine.waits_for(agent.at) == ("br-1 of master m: no command was started yet",)
    agent.wait(ASIDE_AFTER - 0.1)
    assert agent.states == ["held"]
    agent.wait(0.2)
    assert [gone.reason for gone in agent.said(Gone)] == ["killed"]
    assert len(agent.of(actions.GiveBack)) == 1
    assert agent.machine.waits_for(agent.at) == ()
    assert bool(agent.of(actions.Exit)) == isinstance(asked, inputs.Leave)


def test_a_drain_does_not_wait_for_such_a_session_while_the_broker_is_away() -> None:
    """Its offer went with the link."""
    agent = Agent()
    agent.held()
    agent.tell(inputs.Leave())
    agent.link_down()
    agent.wait(ASIDE_AFTER + 0.1)
    assert agent.of(actions.Exit)


def test_a_drain_gives_a_master_its_time_from_the_new_link_on() -> None:
    """It could not be heard before."""
    agent = Agent()
    agent.held()
    agent.tell(inputs.Leave())
    agent.link_down()
    agent.wait(5.0)
    agent.link_up()
    agent.wait(ASIDE_AFTER - 0.1)
    assert agent.states == ["held"]
    agent.wait(0.2)
    assert agent.of(actions.Exit)


def test_a_drain_without_a_link_counts_from_the_word_that_came_last() -> None:
    """Not from a link that was there later."""
    agent = Agent()
    agent.held()
    agent.tell(inputs.Leave())
    agent.link_down()
    agent.wait(4.0)
    agent.link_up()
    agent.link_down()
    agent.wait(ASIDE_AFTER - 4.1)
    assert agent.states == ["held"]
    agent.wait(0.2)
    assert agent.of(actions.Exit)


def test_a_drain_waits_for_a_session_whose_master_is_heard() -> None:
    """Its first command may be under way."""
    agent = Agent()
    agent.held()
    agent.tell(inputs.Leave())
    for _ in range(10):
        agent.wait(3.0)
        agent.alive()
    assert agent.states == ["held"]


def test_without_a_drain_such_a_session_waits_for_its_master_as_long_as_a_bridge_keeps_an_idle_one() -> None:
    """A master that restarts goes on with it; one that is gone for good does not have the slot for ever."""
    agent = Agent()
    agent.held()
    agent.wait(ORPHAN_IDLE - 1.0)
    assert agent.states == ["held"]
    agent.wait(2.0)
    assert agent.states == ["idle"]


def test_a_drain_names_what_was_started_just_now() -> None:
    """Its keeper has said nothing of it yet."""
    agent = Agent()
    agent.held()
    agent.start()
    assert agent.machine.waits_for(agent.at) == ("br-1 of master m: command shell runs",)


def test_a_drain_waits_for_what_has_run() -> None:
    """However silent its master: the build goes on when it is back."""
    agent = Agent()
    agent.running(1)
    agent.tell(inputs.Leave())
    assert agent.machine.waits_for(agent.at) == ("br-1 of master m: command shell runs",)
    agent.wait(2 * ORPHAN_IDLE)
    assert agent.states == ["held"]
    assert agent.machine.waits_for(agent.at) == ("br-1 of master m, which is silent: command shell runs",)
    agent.write((1, "completed"))
    assert agent.machine.waits_for(agent.at) == ("br-1 of master m, which is silent: no command runs",)
