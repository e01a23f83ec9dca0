"""How an agent comes by a build: rules 1, 5, 6, 8, 16, 19, 20 and the rows IDLE and CLAIMING of its table."""

from __future__ import annotations

import pytest

from contracts.messages import Accept, Alive, Claim, Gone, Refuse
from contracts.timing import PARKINGS_MAX
from worker_agent.core import actions, inputs

from .harness import AFTER_GTK, IN_TURN, QUEUES, Agent, command_offer, offer


def test_an_idle_agent_consumes_the_queues_it_qualifies_for() -> None:
    """Consumers start when link and queues are known, in either order."""
    agent = Agent(linked=False)
    agent.link_up()
    assert agent.did == []
    agent.tell(inputs.QueuesKnown(queues=QUEUES))
    assert agent.did == [actions.Consume(queues=IN_TURN)]


def test_queues_are_served_in_turn() -> None:
    """The one that was served last comes last: else it would be served alone as long as an offer is in it."""
    agent = Agent()
    rounds = (("cap.gtk", AFTER_GTK), ("cap.python3", IN_TURN), ("cap.gtk", AFTER_GTK))
    for number, (queue, others) in enumerate(rounds, 1):
        agent.offer(offer(), queue=queue)
        agent.refuse("claim", session=f"s{number}")
        assert agent.did[-1] == actions.Consume(queues=others)


def test_new_queues_replace_the_consumed_ones_and_none_end_the_consuming() -> None:
    """What is consumed follows what exists."""
    agent = Agent()
    agent.tell(inputs.QueuesKnown(queues=frozenset({"cap.new"})))
    assert agent.did == [actions.Consume(queues=("cap.new",))]
    agent.tell(inputs.QueuesKnown(queues=frozenset()))
    assert agent.did == [actions.CancelConsumers()]


def test_the_first_offer_cancels_the_consumers_and_is_claimed_under_a_new_session() -> None:
    """Table: IDLE, offer. Rule 19: the claim expires with the agent's patience."""
    agent = Agent()
    agent.offer(offer())
    assert agent.kinds == ["CancelConsumers", "claim"]
    [claim] = agent.said(Claim)
    assert (claim.session, claim.offer, claim.request, claim.run, claim.epoch) == ("s1", "o1", "br-1", 1, 1)
    assert claim.address == "agent.u.instance-1.n1"
    assert claim.worker.basedir == "/builds/m/slot-0"
    assert agent.states == ["claiming"]


def test_what_slipped_in_before_the_cancel_is_given_back_at_once() -> None:
    """Traps: prefetch is per consumer."""
    agent = Agent()
    agent.offer(offer("o1"))
    second = agent.offer(offer("o2"))
    assert agent.did == [actions.GiveBack(delivery=second)]


def test_with_free_slots_still_only_one_offer_is_claimed_at_a_time() -> None:
    """The second slot consumes afresh once the first claim is settled."""
    agent = Agent(slots=2)
    agent.offer(offer("o1"))
    second = agent.offer(offer("o2"))
    assert agent.did == [actions.GiveBack(delivery=second)]
    agent.grant()
    assert agent.kinds == ["Persist", "OpenSession", "accept", "Consume"]
    agent.offer(offer("o2"), redelivered=True)
    assert agent.kinds == ["CancelConsumers", "claim"]
    assert agent.states == ["held", "claiming"]


def test_a_grant_is_journalled_opened_and_accepted() -> None:
    """Table: CLAIMING, grant."""
    agent = Agent()
    agent.offer(offer(builddir="linux"))
    agent.grant(run=3)
    assert agent.kinds == ["Persist", "OpenSession", "accept"]
    [persist] = agent.of(actions.Persist)
    assert persist.meta.resumes
    assert (persist.meta.granted, persist.meta.run) == (True, 3)
    assert agent.of(actions.OpenSession) == [actions.OpenSession(session="s1", master="m", slot=0, builddir="linux")]
    [accept] = agent.said(Accept)
    assert (accept.session, accept.incarnation, accept.run) == ("s1", "I1", 3)
    assert agent.states == ["held"]


def test_rule_8_a_refused_claim_acknowledges_its_offer() -> None:
    """Rule 5 lets the bridge refuse: the offer is done with."""
    agent = Agent()
    delivery = agent.offer(offer())
    agent.refuse("claim")
    assert agent.did == [actions.Ack(delivery=delivery), actions.Consume(queues=AFTER_GTK)]


def test_rule_8_later_parks_the_offer_and_does_not_silence_the_master() -> None:
    """The holder is missing, not given up."""
    agent = Agent()
    delivery = agent.offer(offer())
    agent.later()
    assert agent.did == [actions.Park(delivery=delivery), actions.Consume(queues=AFTER_GTK)]
    agent.offer(offer("o2"))
    assert "claim" in agent.kinds


def test_rule_6_a_refuse_of_a_resume_does_not_end_a_pending_claim() -> None:
    """Nothing was resumed under this session."""
    agent = Agent()
    agent.offer(offer())
    agent.refuse("resume")
    assert agent.did == []
    assert agent.states == ["claiming"]


def test_rule_6_a_refuse_of_the_claim_of_a_granted_session_makes_it_resume() -> None:
    """A refuse ends only a pending claim."""
    agent = Agent()
    agent.held()
    agent.refuse("claim")
    assert agent.kinds == ["resume"]
    assert agent.states == ["held"]


def test_rule_19_an_unanswered_claim_parks_its_offer_and_silences_its_master() -> None:
    """After 5 s, not before."""
    agent = Agent()
    delivery = agent.offer(offer())
    agent.confirm()
    assert agent.wait(4.9) == []
    agent.wait(0.2)
    assert agent.did == [
        actions.MasterSilent(master="m", silent=True),
        actions.Park(delivery=delivery),
        actions.Consume(queues=AFTER_GTK),
    ]


def test_an_unconfirmed_claim_is_parked_and_says_nothing_of_its_master() -> None:
    """It is the broker that does not answer; the next claim finds out what the matter is."""
    agent = Agent()
    delivery = agent.offer(offer())
    agent.wait(5)
    assert agent.did == [actions.Park(delivery=delivery), actions.Consume(queues=AFTER_GTK)]
    agent.offer(offer())
    assert "claim" in agent.kinds


def test_rule_19_offers_of_a_silent_master_are_parked_at_once_others_are_claimed() -> None:
    """No slot is used to probe it, and no consumer cancelled for it."""
    agent = Agent()
    agent.offer(offer())
    agent.confirm()
    agent.wait(5)
    delivery = agent.offer(offer("o2"))
    assert agent.did == [actions.Park(delivery=delivery)]
    agent.offer(offer("o3", master="living"))
    assert agent.kinds == ["CancelConsumers", "claim"]


def test_rule_19_an_offer_of_a_silent_master_that_slips_in_is_parked_not_given_back() -> None:
    """Given back it would be handed out again and again, and nobody counts that (mixed 99950)."""
    agent = Agent()
    agent.offer(offer())
    agent.confirm()
    agent.wait(5)
    agent.offer(offer("o2", master="living"))
    delivery = agent.offer(offer("o3"))
    assert agent.did == [actions.Park(delivery=delivery)]
    delivery = agent.offer(offer("o4", master="living"))
    assert agent.did == [actions.GiveBack(delivery=delivery)]


def test_rule_19_so_does_what_names_only_its_incarnation() -> None:
    """By which the master is known, whatever session it is about."""
    agent = Agent()
    agent.alive()
    agent.offer(offer())
    agent.confirm()
    agent.wait(5)
    agent.ping()
    assert actions.MasterSilent(master="m", silent=False) in agent.did


@pytest.mark.parametrize("say", ["alive", "roll call", "any message"])
def test_rule_19_any_message_ends_the_silence(say: str) -> None:
    """Its next offer is claimed again."""
    agent = Agent()
    agent.offer(offer())
    agent.confirm()
    agent.wait(5)
    if say == "alive":
        agent.alive()
    elif say == "roll call":
        agent.roll_call()
    else:
        agent.hear(Refuse(session="s1", master="m", re="claim", reason="late"))
    assert actions.MasterSilent(master="m", silent=False) in agent.did
    agent.offer(offer("o2"))
    assert "claim" in agent.kinds


def test_a_claim_that_the_broker_does_not_take_counts_as_unanswered() -> None:
    """No such master, or its queue is full."""
    agent = Agent()
    delivery = agent.offer(offer())
    [claim] = agent.of(actions.Publish)
    assert claim.token is not None
    agent.tell(inputs.Refused(token=claim.token))
    assert agent.kinds == ["MasterSilent", "Park", "Consume"]
    assert actions.Park(delivery=delivery) in agent.did


def test_an_offer_of_a_master_that_does_not_exist_is_parked_a_few_times_and_then_buried() -> None:
    """Its claim comes back: no queue of that name. A master that is only silent keeps its offers parked."""
    agent = Agent()
    agent.offer(offer())
    [claim] = agent.of(actions.Publish)
    agent.tell(inputs.Refused(token=claim.token or 0, returned=True))
    delivery = agent.offer(offer(), deaths=2 * PARKINGS_MAX - 2)
    assert actions.Park(delivery=delivery) in agent.did
    delivery = agent.offer(offer(), deaths=2 * PARKINGS_MAX)
    [bury] = agent.of(actions.SendToDead)
    assert bury.delivery == delivery
    assert "master m has no queue at this broker" in bury.reason
    agent.hear(Alive(master="m", incarnation="inc"))
    agent.offer(offer(), deaths=2 * PARKINGS_MAX)
    assert "claim" in agent.kinds, "it is there after all"


def test_offers_of_a_silent_master_are_never_buried() -> None:
    """Its queue is there, or was full: it may come back after a week."""
    agent = Agent()
    agent.offer(offer())
    [claim] = agent.of(actions.Publish)
    agent.tell(inputs.Refused(token=claim.token or 0, returned=False))
    delivery = agent.offer(offer(), deaths=100_000)
    assert actions.Park(delivery=delivery) in agent.did


def test_rule_7_a_grant_that_comes_too_late_is_answered_gone() -> None:
    """The claim was given up after 5 s."""
    agent = Agent()
    agent.offer(offer())
    agent.confirm()
    agent.wait(5)
    agent.grant()
    [gone] = agent.said(Gone)
    assert (gone.session, gone.request, gone.master, gone.reason) == ("s1", "br-1", "m", "unknown")


def test_a_lost_link_forgets_the_pending_claim() -> None:
    """Table: CLAIMING, link lost. The broker hands the offer on."""
    agent = Agent()
    agent.offer(offer())
    assert agent.link_down() == []
    assert agent.states == ["idle"]
    agent.link_up()
    assert agent.did == [actions.Consume(queues=AFTER_GTK)]
    assert agent.machine.deadline is None


def test_each_claim_has_a_session_of_its_own() -> None:
    """Rule 1, also for the same offer."""
    agent = Agent()
    agent.offer(offer())
    agent.later()
    agent.offer(offer())
    assert [claim.session for claim in agent.said(Claim)] == ["s2"]


def test_a_claim_outlives_the_loss_of_its_delivery() -> None:
    """The bridge decides who holds it; nothing is left to be answered."""
    agent = Agent()
    delivery = agent.offer(offer())
    agent.tell(inputs.DeliveryLost(delivery=delivery))
    agent.refuse("claim")
    assert agent.did == [actions.Consume(queues=AFTER_GTK)]


def test_a_second_copy_of_the_claimed_offer_is_parked() -> None:
    """Rule 8, while the claim is pending."""
    agent = Agent()
    agent.offer(offer())
    copy = agent.offer(offer(ask=True))
    assert agent.did == [actions.Park(delivery=copy)]


def test_rule_16_a_command_offer_that_asks_waits_for_its_grant_and_runs_then() -> None:
    """What asks waits for a master."""
    agent = Agent()
    agent.offer(command_offer(ask=True))
    assert agent.kinds == ["CancelConsumers", "claim"]
    agent.confirm()
    agent.wait(2)
    assert agent.did == []
    agent.grant()
    assert agent.kinds == ["Persist", "OpenSession", "accept", "Persist", "RunCommand"]


@pytest.mark.parametrize(("able", "settled"), [(False, actions.GiveBack), (None, actions.Park)])
def test_an_offer_that_the_machine_cannot_do_goes_to_another(
    able: bool | None, settled: type[actions.GiveBack] | type[actions.Park]
) -> None:
    """Given back where another agent may be able; parked where nobody knows, so that it comes again later."""
    agent = Agent()
    delivery = agent.deliver(offer())
    (check,) = agent.of(actions.CheckMachine)
    assert (check.delivery, check.queue, check.offer) == (delivery, "cap.gtk", "o1")
    agent.tell(inputs.MachineChecked(delivery=delivery, able=able))
    assert settled(delivery=delivery) in agent.did
    assert agent.states == ["idle"]


def test_a_claim_that_is_given_up_gives_its_offer_back() -> None:
    """At a Stop nothing was executed: somebody else takes it."""
    agent = Agent()
    delivery = agent.offer(offer())
    agent.tell(inputs.Stop())
    assert agent.of(actions.GiveBack) == [actions.GiveBack(delivery=delivery)]


def test_what_a_lost_keeper_ran_is_given_back_and_said_of_its_session() -> None:
    """Its offer was executed: the broker gives it to another agent."""
    agent = Agent()
    delivery = agent.running()
    agent.tell(inputs.KeeperLost(session="s1", reason="killed by signal 9"))
    assert agent.of(actions.GiveBack) == [actions.GiveBack(delivery=delivery)]
    (alarm,) = [alarm for alarm in agent.of(actions.Alarm) if alarm.event == "keeper_lost"]
    assert alarm.session == "s1"
    assert all(publish.master == "m" for publish in agent.of(actions.Publish) if isinstance(publish.message, Gone))
