"""What agents say to operators' programs: to the one that asked, in order, and bounded."""

from __future__ import annotations

from contracts import topology
from contracts.frames.frames import AgentReply, Answer, Receive, Received, Told
from master_bridge.post_office import replies
from master_bridge.post_office.actions import CutOff
from master_bridge.post_office.inputs import AgentLeft

from .test_office import Played, frames, outcome

NAME = "operator-anna-1"


def played() -> Played:
    """An agent (1), and an operator (2) who receives."""
    made = Played()
    made.join(1)
    made.join(2, "desk", role="operator")
    assert outcome(made.frame(2, Receive(number=1, master=NAME))) == "taken"
    return made


def replied(done: object) -> list[AgentReply]:
    return [frame for frame in frames(done) if isinstance(frame, AgentReply)]  # type: ignore[arg-type]  # actions


def test_claims_and_events_go_to_who_receives_and_to_nobody_else() -> None:
    office = played()
    said = office.say(1, "claims", NAME)
    assert [(each.to, each.user, each.delivery) for each in replied(said)] == [("claims", "agents", 1)]
    assert outcome(said) == "taken"
    assert [each.to for each in replied(office.say(1, "events", NAME))] == ["events"]
    assert outcome(office.say(1, "claims", "operator-bert-1")) == "returned"
    assert replied(office.say(1, "claims", "m")) == []
    office.tell(AgentLeft(connection=2))
    assert outcome(office.say(1, "claims", NAME)) == "returned"


def test_a_program_hears_itself_and_speaks_for_nobody() -> None:
    """A marker, behind all that is under way."""
    office = played()
    assert [each.user for each in replied(office.say(2, "claims", NAME))] == ["desk"]
    assert isinstance(office.say(2, "claims", "m")[0], CutOff)


def test_a_name_is_one_accounts_and_a_later_connection_of_it_takes_it_over() -> None:
    office = played()
    office.join(3, "thief", role="operator")
    assert outcome(office.frame(3, Receive(number=1, master=NAME))) == "returned"
    office.tell(AgentLeft(connection=3))
    office.tell(AgentLeft(connection=2))
    office.join(4, "desk", role="operator")
    office.frame(4, Receive(number=1, master=NAME))
    assert [each.connection for each in office.say(1, "claims", NAME) if isinstance(each.frame, AgentReply)] == [4]  # type: ignore[union-attr]  # frames only


def test_no_agent_receives() -> None:
    office = played()
    assert isinstance(office.frame(1, Receive(number=1, master=NAME))[0], CutOff)
    office.join(5)


def test_what_waits_is_bounded_and_comes_as_it_is_settled() -> None:
    office = played()
    body = bytes(replies.UNDER_WAY_MAX // 2 - 1000)
    came = [replied(office.say(1, "events", NAME, body)) for _ in range(4)]
    assert [len(each) for each in came] == [1, 1, 0, 0]
    assert [each.delivery for each in replied(office.frame(2, Received(delivery=1)))] == [3]
    assert replied(office.frame(2, Received(delivery=1))) == [], "once"
    outcomes = [outcome(office.say(1, "events", NAME, body)) for _ in range(60)]
    assert set(outcomes) == {"taken", "full"}
    assert outcomes[0] == "taken"


def test_an_operator_tells_one_agent() -> None:
    office = played()
    address = topology.control_address("agents", "i1", "n")
    told = office.say(2, "control", address)
    assert [frame.user for frame in frames(told, 1) if isinstance(frame, Told)] == ["desk"]
    assert [frame.outcome for frame in frames(told, 2) if isinstance(frame, Answer)] == ["taken"]
