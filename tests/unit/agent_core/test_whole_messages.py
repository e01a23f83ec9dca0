"""What the agent says and asks for, each field of it: who reads it must find what it was made of."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.messages import (
    Accept,
    AgentLock,
    Capability,
    Claim,
    Data,
    Event,
    Executing,
    Gone,
    Grant,
    Offer,
    Ping,
    Pull,
    Resume,
    Sealed,
    Start,
    WorkerInfo,
)
from contracts.timing import CLAIM_TIMEOUT, EVENT_RESEND
from worker_agent.core import actions as do
from worker_agent.core import inputs
from worker_agent.core.claims import DEATHS_MAX, MASTERS_TOLD
from worker_agent.core.inputs import PullWanted, Recovered, SessionMeta

from .harness import AFTER_GTK, IN_TURN, MASTER, OPENED_AT, QUEUES, Agent, command, command_offer, offer

WHO: dict[str, Any] = {
    "session": "s1", "offer": "o1", "request": "br-1", "master": "m", "run": 1, "instance": "instance-1",
    "agent": "builder7", "epoch": 1, "address": "agent.u.instance-1.n1",
}  # fmt: skip
CAN = (Capability(name="gtk", version="3.24"),)
WORKER = WorkerInfo(version="1", basedir="/builds/m/slot-0")
OFFERED, GRANTED = "ticket-of-the-offer", "ticket-of-I1"


def meta(what: Offer, **fields: Any) -> SessionMeta:
    return SessionMeta(session="s1", offer=what, **{"slot": 0, "resumes": False, **fields})


# ---- a claim


def test_an_offer_that_is_taken_up_is_checked_first_and_no_other_is_taken() -> None:
    """By its queue, which says what it asks for."""
    agent = Agent()
    delivery = agent.deliver(offer())
    assert agent.did == [do.CancelConsumers(), do.CheckMachine(delivery=delivery, queue="cap.gtk", offer="o1")]
    assert agent.states == ["claiming"]


def test_a_claim_says_who_has_what_for_which_run() -> None:
    """It expires with the patience of its agent."""
    agent = Agent()
    agent.offer(offer())
    (publish,) = agent.of(do.Publish)
    assert publish == do.Publish(
        message=Claim(**WHO, ticket=OFFERED, kind="build", capabilities=CAN, worker=WORKER),
        master="m",
        to="claims",
        token=publish.token,
        expires=CLAIM_TIMEOUT,
        sealed=False,
    )
    assert publish.token is not None


def test_a_claim_of_another_slot_names_its_folder() -> None:
    """And another session."""
    agent = Agent(slots=2)
    agent.held()
    agent.offer(offer("o2"))
    (claim,) = agent.said(Claim)
    assert (claim.session, claim.worker.basedir) == ("s2", "/builds/m/slot-1")


def test_a_first_delivery_of_a_command_has_its_keeper_before_it_is_claimed() -> None:
    """So that it may run without a grant."""
    agent = Agent()
    what = command_offer(builddir="linux")
    agent.offer(what)
    assert agent.of(do.Persist) == [do.Persist(meta=meta(what, run=1, ticket=OFFERED))]
    assert agent.of(do.OpenSession) == [do.OpenSession(session="s1", master="m", slot=0, builddir="linux")]
    assert agent.kinds[-2:] == ["OpenSession", "claim"]


# ---- which offers


@pytest.mark.parametrize(
    ("fields", "first"),
    [
        ({}, True),
        ({"ask": True}, False),
        ({"fencing": 60.0}, False),
        ({"seal": True}, False),
        ({"published": OPENED_AT + 60}, True),
        ({"published": OPENED_AT + 59.9}, False),
    ],
)
def test_only_a_first_delivery_of_a_command_may_run_without_a_grant(fields: dict[str, Any], first: bool) -> None:
    """Whatever says that another agent may have it makes it ask."""
    agent = Agent()
    agent.offer(command_offer(**fields))
    assert bool(agent.of(do.OpenSession)) is first


def test_a_build_and_what_has_no_command_wait_for_their_grant() -> None:
    """There is nothing that could run."""
    for what in (offer(), offer(kind="command")):
        agent = Agent()
        agent.offer(what)
        assert agent.of(do.OpenSession) == []
        assert len(agent.said(Claim)) == 1


@pytest.mark.parametrize("fields", [{"redelivered": True}, {"repeated": True}, {"deaths": 1}])
def test_what_was_delivered_before_asks(fields: dict[str, Any]) -> None:
    """Somebody may run it."""
    agent = Agent()
    agent.offer(command_offer(), **fields)
    assert agent.of(do.OpenSession) == []
    assert len(agent.said(Claim)) == 1


@pytest.mark.parametrize(
    ("held", "wanted", "room"),
    [
        ((), (AgentLock(name="a", capacity=0),), False),
        ((), (AgentLock(name="a", capacity=1),), True),
        ((AgentLock(name="a", capacity=1),), (AgentLock(name="a", capacity=1),), False),
        ((AgentLock(name="a", capacity=2),), (AgentLock(name="a", capacity=2),), True),
        ((AgentLock(name="a", capacity=3),), (AgentLock(name="a", capacity=3, takes=3),), False),
        ((AgentLock(name="a", capacity=3, takes=2),), (AgentLock(name="a", capacity=3),), True),
        ((AgentLock(name="b", capacity=1),), (AgentLock(name="a", capacity=1),), True),
        ((), (AgentLock(name="a", capacity=2, takes=5),), True),
        ((AgentLock(name="a", capacity=1, takes=5),), (AgentLock(name="a", capacity=2),), True),
        (
            (AgentLock(name="a", capacity=9, takes=5, capacities={"builder7": 2}),),
            (AgentLock(name="a", capacity=3),),
            True,
        ),
        ((), (AgentLock(name="a", capacity=1, capacities={"builder7": 0}),), False),
        ((), (AgentLock(name="a", capacity=0, capacities={"builder7": 1}),), True),
        ((), (AgentLock(name="a", capacity=1), AgentLock(name="b", capacity=0)), False),
    ],
)
def test_locks_leave_room_or_leave_it_to_others(
    held: tuple[AgentLock, ...], wanted: tuple[AgentLock, ...], room: bool
) -> None:
    """What takes more than there is takes all of it; another agent may have another capacity."""
    agent = Agent(slots=2)
    if held:
        agent.held(offer(locks=held))
    delivery = agent.deliver(offer("o2", locks=wanted))
    assert bool(agent.of(do.CheckMachine)) is room
    assert (do.Park(delivery=delivery) in agent.did) is not room


def test_queues_are_consumed_in_turn() -> None:
    """The one that was served last comes last."""
    agent = Agent()
    assert [order.queues for order in agent.all if isinstance(order, do.Consume)] == [IN_TURN]
    delivery = agent.offer(offer(), able=False)
    assert agent.did[-2:] == [do.GiveBack(delivery=delivery), do.Consume(queues=AFTER_GTK)]
    agent.tell(inputs.QueuesKnown(queues=frozenset()))
    assert agent.did == [do.CancelConsumers()]
    agent.tell(inputs.QueuesKnown(queues=QUEUES | {"cap.any"}))
    assert agent.did == [do.Consume(queues=("cap.python3", "cap.any", "cap.gtk"))]


@pytest.mark.parametrize(("able", "settled"), [(None, do.Park), (False, do.GiveBack)])
def test_what_the_machine_cannot_do_is_left_to_others_or_to_later(able: bool | None, settled: type) -> None:
    """Nothing is said of it."""
    agent = Agent()
    delivery = agent.offer(offer(), able=able)
    assert agent.did[1:] == [settled(delivery=delivery), do.Consume(queues=AFTER_GTK)]
    assert agent.states == ["idle"]


def test_an_agent_that_cannot_seal_says_so_once_for_each_master() -> None:
    """And leaves such offers to others."""
    agent = Agent(seals=False)
    for number, master in enumerate(["m", "m", "n"], 1):
        delivery = agent.deliver(offer(f"o{number}", seal=True, master=master))
        assert do.Park(delivery=delivery) in agent.did
    alarms = [action for action in agent.all if isinstance(action, do.Alarm)]
    assert alarms == [
        do.Alarm(
            event="cannot_seal",
            detail=f"br-{number} of master {master} is sealed: it is left to agents that can seal; "
            "`worker-agent doctor` tells what is missing here",
        )
        for number, master in ((1, "m"), (3, "n"))
    ]
    for number in range(MASTERS_TOLD + 5):
        agent.deliver(offer(f"o{number + 10}", seal=True, master=f"x{number}"))
    assert len([action for action in agent.all if isinstance(action, do.Alarm)]) == MASTERS_TOLD


def test_an_offer_of_a_master_that_is_not_there_is_buried_in_the_end() -> None:
    """When it was parked often enough: by whom nobody answers for it."""
    agent = Agent()
    agent.offer(offer())
    (claim,) = agent.of(do.Publish)
    assert claim.token is not None
    agent.tell(inputs.Refused(token=claim.token, returned=True))
    assert do.MasterSilent(master="m", silent=True) in agent.did
    delivery = agent.deliver(offer("o2"), deaths=DEATHS_MAX - 1)
    assert do.Park(delivery=delivery) in agent.did
    delivery = agent.deliver(offer("o2"), deaths=DEATHS_MAX)
    (dead,) = agent.of(do.SendToDead)
    assert dead.delivery == delivery
    assert dead.reason == f"master m has no queue at this broker, and the offer was parked {DEATHS_MAX // 2} times"


# ---- a grant, and what follows


def test_a_grant_is_journalled_and_accepted() -> None:
    """With its own ticket and run, for the incarnation that made it."""
    agent = Agent()
    what = offer(builddir="linux")
    agent.offer(what)
    agent.grant(run=2)
    assert agent.did == [
        do.Persist(meta=meta(what, resumes=True, granted=True, run=2, ticket=GRANTED)),
        do.OpenSession(session="s1", master="m", slot=0, builddir="linux"),
        do.Publish(message=Accept(**{**WHO, "run": 2}, ticket=GRANTED, incarnation="I1"), master="m", to="claims"),
    ]


def test_the_same_grant_again_is_no_news_for_the_disk() -> None:
    """Another ticket, or another run, is."""
    agent = Agent()
    agent.held()
    agent.grant()
    assert agent.kinds == ["accept"]
    agent.grant(run=2)
    assert agent.kinds == ["Persist", "accept"]
    agent.grant(incarnation="I2", run=2)
    assert agent.kinds == ["Persist", "accept"]


def test_a_resume_says_what_has_run_and_how_far_it_is() -> None:
    """At each link; with the ticket of the last grant, and at its new address."""
    agent = Agent()
    agent.running()
    agent.write((1, "stdout"), (1, "completed"))
    agent.start(2)
    agent.write((2, "started"))
    agent.link_down()
    agent.link_up()
    (resume,) = agent.said(Resume)
    assert resume == Resume(
        **{**WHO, "epoch": 2, "address": "agent.u.instance-1.n2"},
        ticket=GRANTED,
        kind="build",
        capabilities=CAN,
        worker=WORKER,
        commands=(
            Executing(n=1, digest="d1", completed=True),
            Executing(n=2, digest="d2", completed=False),
        ),
    )
    (publish,) = [order for order in agent.of(do.Publish) if order.message is resume]
    assert (publish.master, publish.to, publish.token, publish.expires) == ("m", "claims", None, None)


def test_a_resume_of_a_commands_session_says_so() -> None:
    """What it was sought for decides how long it is kept."""
    agent = Agent()
    agent.offer(offer(kind="command", ask=True))
    agent.grant()
    agent.link_down()
    agent.link_up()
    assert [resume.kind for resume in agent.said(Resume)] == ["command"]


def test_an_event_is_published_with_a_token_of_its_own() -> None:
    """To the events queue of its master."""
    agent = Agent()
    agent.held()
    agent.start(1)
    agent.write((1, "started"), (1, "stdout"))
    first, second = agent.of(do.Publish)
    assert (first.to, first.master, first.sealed, first.expires) == ("events", "m", False, None)
    assert first.token is not None
    assert second.token is not None
    assert first.token != second.token
    assert agent.seqs == [1, 2]


def test_a_refused_claim_acknowledges_its_offer() -> None:
    """It is stale, or somebody else has it."""
    agent = Agent()
    delivery = agent.offer(offer())
    agent.refuse("claim")
    assert agent.did[:1] == [do.Ack(delivery=delivery)]
    agent.start(1)
    (gone,) = agent.said(Gone)
    assert (gone.reason, gone.detail) == ("refused", "because")


# ---- gone


def test_a_session_that_was_never_here_is_unknown() -> None:
    """To whoever is known to speak for a master."""
    agent = Agent()
    agent.alive()
    agent.hear(Ping(session="s9", incarnation="I1", stored=0))
    assert agent.of(do.Publish) == [
        do.Publish(
            message=Gone(
                session="s9", request="unknown", master="m", epoch=1, address="agent.u.instance-1.n1",
                reason="unknown", detail="never had", ticket=None,
            ),
            master="m",
            to="claims",
        )
    ]  # fmt: skip
    agent.hear(Ping(session="s9", incarnation="nobody", stored=0))
    assert agent.did == []


def test_a_session_that_was_released_is_told_so_when_asked_for() -> None:
    """With its request, its last ticket and why."""
    agent = Agent()
    delivery = agent.held()
    agent.release()
    assert agent.did[:2] == [do.CloseSession(session="s1"), do.Ack(delivery=delivery)]
    assert agent.said(Gone) == [], "nobody waits for it"
    agent.ping()
    assert agent.said(Gone) == [
        Gone(
            session="s1", request="br-1", master="m", epoch=1, address="agent.u.instance-1.n1", reason="released",
            detail="", ticket=GRANTED,
        )
    ]  # fmt: skip


def test_a_stopped_session_is_told_until_the_broker_has_it() -> None:
    """Unasked, at each link."""
    agent = Agent(slots=2)
    agent.held()
    agent.tell(inputs.KeeperLost(session="s1", reason="killed by signal 9"))
    (publish,) = [order for order in agent.of(do.Publish) if isinstance(order.message, Gone)]
    gone = publish.message
    assert isinstance(gone, Gone)
    assert gone.reason == "killed"
    told = "the session's processes ended with their keeper: killed by signal 9; no new work for "
    assert gone.detail.startswith(told)
    assert publish.token is not None
    agent.link_down()
    agent.link_up()
    (again,) = agent.said(Gone)
    assert (again.session, again.detail, again.epoch) == ("s1", gone.detail, 2)
    agent.confirm()
    agent.link_down()
    agent.link_up()
    assert agent.said(Gone) == []


def test_a_gone_that_the_broker_did_not_take_is_told_at_the_next_link() -> None:
    """As one that was lost on its way."""
    agent = Agent()
    agent.held()
    agent.tell(inputs.KeeperLost(session="s1", reason="killed by signal 9"))
    (publish,) = [order for order in agent.of(do.Publish) if isinstance(order.message, Gone)]
    assert publish.token is not None
    agent.tell(inputs.Refused(token=publish.token, returned=True))
    agent.link_down()
    agent.link_up()
    assert [gone.session for gone in agent.said(Gone)] == ["s1"]


def test_a_claim_that_was_given_back_is_unknown_here() -> None:
    """To its master, when it asks."""
    agent = Agent()
    delivery = agent.offer(offer())
    agent.tell(inputs.Pause(reason="new disk"))
    assert do.GiveBack(delivery=delivery) in agent.did
    agent.alive()
    agent.ping()
    assert [(gone.reason, gone.detail) for gone in agent.said(Gone)] == [("unknown", "")]


# ---- commands


def test_a_started_command_is_run_as_it_came() -> None:
    """By its session's keeper."""
    agent = Agent()
    agent.held()
    agent.start(1)
    assert agent.kinds == ["Persist", "RunCommand"], "what was started is known before it runs"
    assert agent.of(do.RunCommand) == [do.RunCommand(session="s1", command=command(1))]


def test_an_interrupt_goes_to_what_runs_and_is_kept_for_what_does_not() -> None:
    """With its reason."""
    agent = Agent()
    agent.running()
    agent.interrupt(1)
    assert agent.did == [do.InterruptCommand(session="s1", n=1, reason="Stop")]
    agent.interrupt(2)
    assert agent.did == []
    agent.start(2)
    assert agent.of(do.CompleteUnstarted) == [do.CompleteUnstarted(session="s1", command=command(2), reason="Stop")]
    assert agent.of(do.RunCommand) == []
    agent.write((1, "completed"))
    agent.interrupt(1)
    assert agent.did == []


def test_a_download_asks_until_its_bytes_come() -> None:
    """For just those; bytes of another place do not answer it."""
    agent = Agent()
    agent.running()
    agent.tell(PullWanted(session="s1", n=1, offset=5, length=7))
    pull = do.Publish(message=Pull(session="s1", n=1, offset=5, length=7), master="m", to="events")
    assert agent.did == [pull]
    agent.hear(Data(session="s1", incarnation="I1", n=1, offset=0, size=99, data=b"other"))
    assert agent.of(do.FeedData) == [do.FeedData(session="s1", n=1, offset=0, size=99, data=b"other")]
    assert pull in agent.wait(EVENT_RESEND + 0.1)
    agent.hear(Data(session="s1", incarnation="I1", n=1, offset=5, size=99, data=b"these"))
    assert agent.of(do.FeedData) == [do.FeedData(session="s1", n=1, offset=5, size=99, data=b"these")]
    assert pull not in agent.wait(2 * EVENT_RESEND)


def test_a_download_of_what_does_not_run_asks_for_nothing() -> None:
    """Nor is it fed."""
    agent = Agent()
    agent.held()
    agent.tell(PullWanted(session="s1", n=1, offset=5, length=7))
    assert agent.did == []
    agent.hear(Data(session="s1", incarnation="I1", n=1, offset=5, size=99, data=b"these"))
    assert agent.did == []


def test_another_command_of_the_same_number_has_diverged() -> None:
    """What runs is ended; its bridge learns which it was."""
    agent = Agent()
    delivery = agent.running()
    agent.hear(Start(session="s1", incarnation="I1", command=replace_digest("other")))
    detail = "command 1 (shell) is not the one that this session has executed"
    assert do.Alarm(event="session_diverged", detail=detail, session="s1") in agent.did
    assert do.GiveBack(delivery=delivery) in agent.did
    (gone,) = agent.said(Gone)
    assert (gone.reason, gone.detail) == ("diverged", detail)


def replace_digest(digest: str) -> Any:
    return command(1).model_copy(update={"digest": digest})


# ---- what Buildbot has stored


def test_what_is_stored_is_counted_out_of_the_journal_once() -> None:
    """A number beyond its end means another session's events."""
    agent = Agent()
    delivery = agent.running()
    agent.write((1, "stdout"))
    agent.confirm()
    agent.stored(2)
    assert agent.did == [do.TrimJournal(session="s1", seq=2)]
    agent.ping(2)
    assert agent.did == []
    agent.hear(Ping(session="s1", incarnation="I1", stored=3))
    detail = "the master has stored event 3, the journal ends with 2"
    assert do.Alarm(event="journal_incomplete", detail=detail, session="s1") in agent.did
    assert do.GiveBack(delivery=delivery) in agent.did
    assert [(gone.reason, gone.detail) for gone in agent.said(Gone)] == [("lost", detail)]


# ---- who may say it


def test_nobody_speaks_of_anothers_session() -> None:
    """It goes aside with who said it."""
    agent = Agent()
    agent.held()
    ping = Ping(session="s1", incarnation="I1", stored=0)
    agent.hear(ping, user="thief")
    reason = "master unnamed (user thief) spoke of session s1, which is master m's (user bridge)"
    assert agent.did == [do.Reject(message=ping, reason=reason)]
    grant = Grant(session="s1", master="n", incarnation="I1", run=1, ticket="t", stored=0)
    for user in ("bridge", "thief"):
        agent.hear(grant, user=user)
        reason = f"master n (user {user}) spoke of session s1, which is master m's (user bridge)"
        assert agent.did == [do.Reject(message=grant, reason=reason)]


def test_what_only_agents_say_is_put_aside() -> None:
    """By its type."""
    agent = Agent()
    pull = Pull(session="s9", n=1, offset=0, length=1)
    agent.hear(pull)
    assert agent.did == [do.Reject(message=pull, reason="a message of type 'pull' is not for an agent")]


def test_plain_text_is_not_believed_where_there_is_a_seal() -> None:
    """An alarm says of which kind it was."""
    agent = Agent()
    agent.held(offer(seal=True))
    agent.hear(Start(session="s1", incarnation="I1", command=command(1)), sealed=False)
    assert agent.did == [
        do.Alarm(
            event="seal_missing_or_invalid",
            detail="a start came in plain text, and the session has a seal",
            session="s1",
        )
    ]


def test_a_sealed_session_agrees_on_its_keys_with_each_grant() -> None:
    """For its master's user, its request and the agent's address; what it says is sealed from then on."""
    agent = Agent()
    agent.offer(offer(seal=True))
    assert [order.sealed for order in agent.of(do.Publish)] == [True]
    agent.grant()
    (agree,) = agent.of(do.Agree)
    assert (agree.user, agree.request, agree.address) == (MASTER, "br-1", "agent.u.instance-1.n1")
    assert (agree.grant.session, agree.grant.incarnation) == ("s1", "I1")
    assert [order.sealed for order in agent.of(do.Publish)] == [True]
    agent.release()
    assert do.ForgetSeal(session="s1") in agent.did


def test_a_grant_without_a_seal_ends_what_asked_for_one() -> None:
    """Else it would be read."""
    agent = Agent()
    delivery = agent.offer(offer(seal=True))
    agent.hear(Grant(session="s1", master="m", incarnation="I1", run=1, ticket="t", stored=0))
    detail = "master m granted it without a seal, which its offer asks for"
    assert do.Alarm(event="no_seal", detail=detail, session="s1") in agent.did
    assert do.GiveBack(delivery=delivery) in agent.did
    assert [(gone.reason, gone.detail) for gone in agent.said(Gone)] == [("refused", detail)]


def test_what_could_not_be_opened_is_asked_for_by_a_resume() -> None:
    """Within a second; of a session that is not here it is unknown whose it was."""
    agent = Agent()
    agent.held(offer(seal=True))
    sealed = Sealed(session="s1", seal="0" * 16, number=0, data=b"?")
    agent.hear(sealed)
    assert [type(order.message) for order in agent.wait(1.0) if isinstance(order, do.Publish)] == [Resume]
    agent.hear(sealed.model_copy(update={"session": "s9"}))
    assert agent.did == []


def test_it_is_asked_for_once() -> None:
    """Whoever answers is heard, as ever."""
    agent = Agent()
    agent.held(offer(seal=True))
    agent.hear(Sealed(session="s1", seal="0" * 16, number=0, data=b"?"))
    agent.wait(1.0)
    for _ in range(20):
        agent.ping()
        agent.wait(3.0)
    messages = [order.message for order in agent.all if isinstance(order, do.Publish)]
    assert len([message for message in messages if isinstance(message, Resume)]) == 1


def test_who_asks_of_a_claim_that_was_put_off_learns_that_it_is_over() -> None:
    """As of each claim that came to nothing."""
    agent = Agent()
    agent.offer(offer())
    agent.later()
    agent.grant("s1")
    assert [gone.reason for gone in agent.said(Gone)] == ["unknown"]


# ---- what an earlier process left


def left(**fields: Any) -> Recovered:
    values: dict[str, Any] = {"resumes": True, "granted": True, "run": 3, "ticket": "earlier", **fields}
    alive, last_seq = values.pop("alive", True), values.pop("last_seq", 0)
    return Recovered(meta=meta(offer(), **values), alive=alive, last_seq=last_seq)


def test_a_session_that_lives_resumes_as_it_was_granted() -> None:
    """In its slot, with the run and the ticket of its meta file."""
    agent = Agent(recovered=[left()])
    (resume,) = agent.said(Resume)
    assert (resume.session, resume.run, resume.ticket, resume.commands) == ("s1", 3, "earlier", ())
    assert agent.states == ["held"]
    bare = Agent(recovered=[left(run=None, ticket=None)])
    (resume,) = bare.said(Resume)
    assert (resume.run, resume.ticket) == (1, OFFERED)


def test_a_session_whose_keeper_died_is_lost() -> None:
    """Its bridge is told at the first link."""
    agent = Agent(recovered=[left(alive=False)])
    detail = "its commands ended while the agent was down"
    assert do.Alarm(event="session_lost", detail=detail, session="s1") in agent.all
    assert [(gone.reason, gone.detail) for gone in agent.said(Gone)] == [("lost", detail)]


def test_a_journal_with_holes_is_no_session() -> None:
    """It cannot be replayed."""
    agent = Agent(recovered=[left(last_seq=5)])
    detail = "the journal of 5 events can be read up to 0 only"
    assert do.Alarm(event="session_lost", detail=detail, session="s1") in agent.all


def test_nothing_is_run_for_a_session_that_is_lost() -> None:
    """Its commands run elsewhere."""
    what = meta(command_offer(), resumes=True, granted=True, run=3, ticket="earlier")
    agent = Agent(recovered=[Recovered(meta=what, alive=True, last_seq=5)])
    assert [gone.reason for gone in agent.said(Gone)] == ["lost"]
    assert not [action for action in agent.all if isinstance(action, do.RunCommand)]


def test_a_session_that_was_left_is_out_of_contact_from_the_start_on() -> None:
    """Strict fencing counts from there."""
    journal = Agent().journal
    journal.append(Event(session="s1", seq=1, n=1, kind="started", value={"name": "shell", "digest": "d1"}))
    what = meta(offer(fencing=20.5), resumes=True, granted=True, run=3, ticket="earlier")
    agent = Agent(recovered=[Recovered(meta=what, alive=True, last_seq=1)], journal=journal, linked=False)
    assert agent.wait(20.4) == []
    detail = "no contact with master m for 20.5 s (strict fencing)"
    assert do.Alarm(event="session_fenced", detail=detail, session="s1") in agent.wait(0.2)


def test_a_session_in_a_slot_that_is_no_more_takes_the_room_of_one_that_is() -> None:
    """The agent had more slots before it was started again: it never has more builds than slots."""
    agent = Agent(recovered=[left(slot=3)])
    agent.offer(offer("o2", request="br-2"))
    assert agent.said(Claim) == []


def test_a_claim_of_an_earlier_process_is_forgotten() -> None:
    """Whoever claims the offer next starts afresh; who asks learns that it was claimed."""
    agent = Agent(recovered=[left(resumes=False, granted=False)])
    assert do.CloseSession(session="s1") in agent.all
    assert agent.said(Gone) == []
    assert agent.states == ["idle"]
    agent.alive()
    agent.ping()
    (gone,) = agent.said(Gone)
    assert (gone.reason, gone.detail, gone.request) == ("unknown", "claimed before the agent restarted", "br-1")
