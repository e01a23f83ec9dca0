"""Held sessions: presence, resumes, refusals, commands (rules 3, 5 to 9, 13, 14; the rows HELD of its table)."""

from __future__ import annotations

import pytest

from contracts.messages import (
    Accept,
    Alive,
    Data,
    Event,
    Executing,
    Gone,
    Grant,
    Message,
    Ping,
    Pull,
    Refuse,
    Release,
    Resume,
    Steer,
)
from worker_agent.core import actions, inputs

from .harness import AFTER_GTK, MASTER, Agent, command, offer


def resumes(done: list[actions.Action]) -> list[Resume]:
    return [a.message for a in done if isinstance(a, actions.Publish) and isinstance(a.message, Resume)]


# ---- links and silence


def test_a_lost_link_changes_nothing_for_what_runs() -> None:
    """Table: HELD, link lost: run on, spool."""
    agent = Agent()
    agent.running()
    assert agent.link_down() == []
    agent.write((1, "stdout"))
    assert agent.did == []
    assert agent.states == ["held"]


def test_at_link_up_every_session_resumes_with_the_new_epoch_and_address() -> None:
    """Rule 2; the resume says what was executed. It does not expire."""
    agent = Agent()
    agent.running()
    agent.link_down()
    agent.link_up()
    [resume] = agent.said(Resume)
    assert (resume.session, resume.epoch, resume.address) == ("s1", 2, "agent.u.instance-1.n2")
    assert resume.commands == (Executing(n=1, digest="d1", completed=False),)
    assert agent.of(actions.Publish)[0].to == "claims"


def test_rule_9_silence_of_8_s_makes_it_resume_again_backing_off_to_60_s() -> None:
    """8 s apart, then 16, 32, 60, 60 …"""
    agent, times = Agent(), []
    agent.held()
    begin = agent.at
    for _ in range(200):
        if resumes(agent.wait(1.0)):
            times.append(agent.at - begin)
    assert times == [8.0, 16.0, 32.0, 64.0, 124.0, 184.0]


@pytest.mark.parametrize("how", ["ping", "hold"])
def test_rule_9_a_word_of_the_bridge_starts_the_silence_afresh(how: str) -> None:
    """A ping, or the answer to a resume."""
    agent = Agent()
    agent.held()
    agent.wait(7.9)
    (agent.ping if how == "ping" else agent.hold)()
    assert resumes(agent.wait(7.9)) == []
    assert len(resumes(agent.wait(0.2))) == 1


def test_a_roll_call_is_answered_at_once_by_every_session_of_that_master() -> None:
    """And by no other."""
    agent = Agent(slots=2)
    agent.held()
    agent.offer(offer("o2", master="n"))
    agent.grant("s2", incarnation="J1", master="n")
    agent.roll_call("n", "J2")
    assert [resume.session for resume in agent.said(Resume)] == ["s2"]


def test_the_lease_taken_back_by_the_broker_does_not_end_the_session() -> None:
    """The bridge decides who holds it; at the release there is nothing to acknowledge."""
    agent = Agent()
    delivery = agent.running()
    agent.tell(inputs.DeliveryLost(delivery=delivery))
    assert agent.did == []
    agent.release()
    assert agent.kinds == ["CloseSession", "Consume"]


# ---- its own offer again


def test_its_own_offer_redelivered_is_held_and_acknowledged_at_the_release() -> None:
    """Table: HELD, own offer again. A delivery that stays would starve its consumer, so consumers start afresh."""
    agent = Agent(slots=2)
    agent.held()
    agent.link_down()
    agent.link_up()
    again = agent.offer(offer(), redelivered=True)
    assert agent.did == [actions.CancelConsumers(), actions.Consume(queues=AFTER_GTK)]
    agent.grant()
    agent.release()
    assert actions.Ack(delivery=again) in agent.did


def test_rule_8_the_second_copy_of_its_offer_is_parked() -> None:
    """Never acknowledged, never given back."""
    agent = Agent(slots=2)
    agent.held()
    copy = agent.offer(offer(ask=True))
    assert agent.did == [actions.Park(delivery=copy)]


def test_rule_8_another_offer_for_the_same_request_is_parked() -> None:
    """A build's next run, while this one is not known to be over."""
    agent = Agent(slots=2)
    agent.held()
    other = agent.offer(offer("o7", request="br-1", run=2))
    assert agent.did == [actions.Park(delivery=other)]


# ---- refusals, releases, unknown sessions


def test_rule_8_a_refused_resume_kills_cleans_up_and_gives_the_offer_back() -> None:
    """Cancelled before the nack (rule 20)."""
    agent = Agent(slots=2)
    delivery = agent.running()
    agent.refuse("resume")
    assert agent.did == [
        actions.CloseSession(session="s1"),
        actions.CancelConsumers(),
        actions.GiveBack(delivery=delivery),
        actions.Consume(queues=AFTER_GTK),
    ]


def test_a_release_cleans_up_acknowledges_and_takes_new_work() -> None:
    """Table: HELD, release."""
    agent = Agent()
    delivery = agent.running()
    agent.release()
    assert agent.did == [
        actions.CloseSession(session="s1"),
        actions.Ack(delivery=delivery),
        actions.Consume(queues=AFTER_GTK),
    ]


@pytest.mark.parametrize(
    "message",
    [
        Ping(session="s1", incarnation="I1", stored=0),
        Refuse(session="s1", master="m", re="resume", reason="complete"),
        Data(session="s1", incarnation="I1", n=1, offset=0, size=1, data=b"x"),
    ],
    ids=["ping", "refuse", "data"],
)
def test_rule_7_what_comes_for_a_session_that_is_over_is_answered_gone(message: Message) -> None:
    """With its request, and the address that answers now."""
    agent = Agent()
    agent.running()
    agent.release()
    agent.tell(inputs.MessageReceived(message=message, user=MASTER))  # type: ignore[arg-type]
    [gone] = agent.said(Gone)
    assert (gone.session, gone.request, gone.master, gone.reason) == ("s1", "br-1", "m", "released")
    assert agent.of(actions.Publish)[0].to == "claims"


def test_rule_7_a_session_that_never_was_is_answered_gone_too() -> None:
    """Its master is known by name or by incarnation."""
    agent = Agent()
    agent.grant("never")
    assert [gone.reason for gone in agent.said(Gone)] == ["unknown"]
    agent.ping(session="nor-this")
    assert [gone.session for gone in agent.said(Gone)] == ["nor-this"]
    agent.ping(session="whose", incarnation="X1")
    assert agent.did == []


def test_a_master_has_no_say_in_the_session_of_another() -> None:
    """Two masters share the broker; what one says of the other's sessions is rejected with the reason."""
    agent = Agent()
    agent.running()
    agent.hear(Refuse(session="s1", master="n", re="resume", reason="mistaken"))
    assert agent.kinds == ["Reject"]
    assert agent.states == ["held"]


@pytest.mark.parametrize("what", ["start", "interrupt", "ping", "stored", "replay", "release"])
def test_rule_3_messages_of_another_incarnation_are_ignored(what: str) -> None:
    """Only the last grant's counts."""
    agent = Agent()
    agent.running()
    if what == "start":
        agent.start(2, incarnation="I0")
    elif what == "interrupt":
        agent.interrupt(1, incarnation="I0")
    elif what == "release":
        agent.release(incarnation="I0")
    else:
        getattr(agent, what)(1, incarnation="I0")
    assert agent.did == []
    assert resumes(agent.wait(7.9)) == []
    assert len(resumes(agent.wait(0.2))) == 1, "it was no sign of life either"


def test_a_release_that_answers_a_resume_counts_although_its_incarnation_never_granted() -> None:
    """Stop, while a restarted bridge had not adopted the session yet."""
    agent = Agent()
    delivery = agent.running()
    agent.roll_call(incarnation="I2")
    agent.release(incarnation="I2")
    assert agent.kinds == ["CloseSession", "Ack", "Consume"]
    assert actions.Ack(delivery=delivery) in agent.did


def test_a_grant_is_accepted_with_its_incarnation_and_run() -> None:
    """Adopted by a restarted bridge: the run is the new build's, and is remembered."""
    agent = Agent()
    agent.running()
    agent.grant(incarnation="I2", run=9)
    assert agent.of(actions.Persist)[0].meta.run == 9
    [accept] = agent.said(Accept)
    assert (accept.incarnation, accept.run) == ("I2", 9)
    agent.roll_call()
    assert agent.said(Resume)[0].run == 9


# ---- commands


def test_a_start_is_journalled_and_run_once() -> None:
    """Repeated, it is followed."""
    agent = Agent()
    agent.held()
    agent.start(1)
    assert agent.kinds == ["Persist", "RunCommand"]
    assert agent.of(actions.Persist)[0].meta.resumes
    agent.start(1)
    assert agent.did == []


def test_commands_of_a_build_may_overlap() -> None:
    """Buildbot usually runs one at a time."""
    agent = Agent()
    agent.running(1)
    agent.start(2)
    assert agent.of(actions.RunCommand) == [actions.RunCommand(session="s1", command=command(2))]


def test_rule_14_an_interrupt_before_its_start_completes_the_command_unstarted() -> None:
    """It is remembered, even by the next incarnation."""
    agent = Agent()
    agent.held()
    assert agent.interrupt(1) == []
    agent.grant(incarnation="I2")
    agent.start(1, incarnation="I2")
    assert agent.of(actions.CompleteUnstarted) == [
        actions.CompleteUnstarted(session="s1", command=command(1), reason="Stop")
    ]
    assert not agent.of(actions.RunCommand)


def test_an_interrupt_of_what_runs_goes_to_the_keeper_of_what_is_over_nowhere() -> None:
    """Rule 14."""
    agent = Agent()
    agent.running()
    agent.interrupt(1)
    assert agent.did == [actions.InterruptCommand(session="s1", n=1, reason="Stop")]
    agent.write((1, "completed"), interrupted="Stop")
    assert agent.interrupt(1) == []


def test_a_download_pulls_and_is_fed() -> None:
    """A pull is asked again after 5 s and by the start of the next incarnation, until its bytes come."""
    agent = Agent()
    agent.running()
    agent.tell(inputs.PullWanted(session="s1", n=1, offset=4, length=6))
    assert [(pull.offset, pull.length) for pull in agent.said(Pull)] == [(4, 6)]
    agent.wait(5)
    assert len(agent.said(Pull)) == 1
    agent.grant(incarnation="I2")
    assert agent.said(Pull) == []
    agent.start(1, incarnation="I2")
    assert len(agent.said(Pull)) == 1
    agent.hear(Data(session="s1", incarnation="I2", n=1, offset=4, size=10, data=b"abcdef"))
    assert agent.did == [actions.FeedData(session="s1", n=1, offset=4, size=10, data=b"abcdef")]
    assert not [a for a in agent.wait(7) if isinstance(a, actions.Publish) and isinstance(a.message, Pull)]


def test_bytes_for_a_command_that_does_not_run_are_dropped() -> None:
    """A late answer to a pull."""
    agent = Agent()
    agent.running()
    agent.write((1, "completed"))
    assert agent.hear(Data(session="s1", incarnation="I1", n=1, offset=0, size=1, data=b"x")) == []
    assert agent.tell(inputs.PullWanted(session="s1", n=1, offset=0, length=1)) == []


def test_a_lost_keeper_ends_the_session() -> None:
    """The bridge is told why, the offer goes to another agent."""
    agent = Agent()
    delivery = agent.running()
    agent.tell(inputs.KeeperLost(session="s1", reason="killed by signal 9"))
    assert agent.kinds == ["Alarm", "CloseSession", "gone", "GiveBack", "Consume"]
    [gone] = agent.said(Gone)
    assert gone.reason == "lost"
    assert "killed by signal 9" in gone.detail
    assert actions.GiveBack(delivery=delivery) in agent.did


def test_a_gone_that_must_be_told_is_told_until_the_broker_has_it() -> None:
    """At each link-up."""
    agent = Agent()
    agent.running()
    agent.link_down()
    agent.tell(inputs.KeeperLost(session="s1", reason="killed"))
    assert not agent.said(Gone)
    agent.link_up()
    assert [gone.reason for gone in agent.said(Gone)] == ["lost"]
    agent.link_down()
    agent.link_up()
    assert [gone.reason for gone in agent.said(Gone)] == ["lost"]
    agent.confirm()
    agent.link_down()
    agent.link_up()
    assert not agent.said(Gone)


def test_inputs_for_sessions_that_are_not_there_do_nothing() -> None:
    """A keeper's last words after its end."""
    agent = Agent()
    for given in (
        inputs.Journalled(session="s9", seq=3),
        inputs.KeeperLost(session="s9", reason="?"),
        inputs.PullWanted(session="s9", n=1, offset=0, length=1),
        inputs.DeliveryLost(delivery=99),
        inputs.Confirmed(token=99),
        inputs.Refused(token=99),
        inputs.Tick(),
    ):
        assert agent.tell(given) == []


def test_a_message_that_no_bridge_sends_to_an_agent_is_rejected() -> None:
    """With the reason; it changes nothing."""
    agent = Agent()
    event = Event(session="s9", seq=1, n=1, kind="stdout")
    assert agent.hear(event) == [actions.Reject(message=event, reason="a message of type 'event' is not for an agent")]
    assert agent.hear(Steer(order="probe")) == [], "the edge's affair"


def test_no_master_can_take_another_s_incarnation_as_its_own() -> None:
    """A forged grant that names it changes nothing: what the real master says is still obeyed."""
    agent = Agent()
    agent.running()
    agent.hear(Grant(session="s1", master="n", incarnation="I1", run=1, stored=0, ticket="t"))
    assert agent.kinds == ["Reject"]
    agent.hear(Grant(session="s-other", master="n", incarnation="I1", run=1, stored=0, ticket="t"))
    agent.release()
    assert agent.states == ["idle"]


def test_an_incarnation_of_another_master_has_no_say() -> None:
    """It is known by its broadcasts; one that nobody has heard of is ignored (an earlier incarnation's last words)."""
    agent = Agent()
    agent.running()
    agent.hear(Alive(master="n", incarnation="of-n"))
    release = Release(session="s1", incarnation="of-n")
    [reject] = agent.hear(release)
    assert isinstance(reject, actions.Reject)
    assert reject.message == release
    assert "master n (user bridge) spoke of session s1, which is master m's" in reject.reason
    assert agent.hear(Release(session="s1", incarnation="unheard-of")) == []
