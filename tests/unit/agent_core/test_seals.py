"""Rule 24 in the agent's machine: who gets what must be sealed, and what is never said in plain text."""

from __future__ import annotations

import pytest

from contracts.messages import Claim, Command, Data, Event, Gone, Grant, Interrupt, Message, Pull, Resume, Sealed, Start
from worker_agent.core import actions, inputs

from .harness import OPENED_AT, Agent, command, offer

SEALED = Sealed(session="s1", seal="0" * 16, number=0, data=b"?")


def published(agent: Agent, kind: type[Message]) -> list[actions.Publish]:
    return [action for action in agent.of(actions.Publish) if isinstance(action.message, kind)]


def test_an_agent_that_cannot_seal_parks_the_offer_and_says_so_once() -> None:
    """Nothing is claimed; an offer without a seal is."""
    agent = Agent(seals=False)
    alarms = []
    for number in (1, 2):
        agent.offer(offer(f"o{number}", seal=True))
        assert agent.kinds[-1] == "Park"
        alarms += agent.of(actions.Alarm)
    assert [alarm.event for alarm in alarms] == ["cannot_seal"]
    agent.offer(offer("o3"))
    assert agent.kinds == ["CancelConsumers", "claim"]


def test_a_claim_and_a_resume_give_a_key_only_where_the_offer_asks_for_a_seal() -> None:
    for seal in (True, False):
        agent = Agent()
        agent.offer(offer(seal=seal))
        assert [claim.sealed for claim in published(agent, Claim)] == [seal]
        agent.grant()
        assert len(agent.of(actions.Agree)) == seal
        agent.link_down()
        agent.link_up()
        assert [resume.sealed for resume in published(agent, Resume)] == [seal]


@pytest.mark.parametrize("commands", [(), (command(1),)], ids=["as it is offered", "as it must not be"])
def test_a_sealed_command_waits_for_its_grant(commands: tuple[Command, ...]) -> None:
    """Rule 15 does not hold for it, whatever the offer says: without a grant there is nothing to seal with."""
    agent = Agent()
    agent.offer(offer(kind="command", seal=True, published=OPENED_AT + 100, commands=commands))
    agent.confirm()
    agent.wait(4)
    assert agent.states == ["claiming"]
    agent.grant()
    agent.start()
    assert [type(action) for action in agent.all].count(actions.RunCommand) == 1


def test_the_keys_are_made_before_anything_is_said_with_them() -> None:
    """Of each grant, and before its accept."""
    agent = Agent()
    agent.offer(offer(seal=True))
    agent.grant()
    agreed = agent.of(actions.Agree)[0]
    assert (agreed.user, agreed.request, agreed.address) == ("bridge", "br-1", "agent.u.instance-1.n1")
    assert agent.kinds.index("Agree") < agent.kinds.index("accept")


def test_a_grant_without_a_seal_is_refused() -> None:
    """Else what the offer's owner wanted sealed would be said in plain text."""
    agent = Agent()
    agent.offer(offer(seal=True))
    agent.hear(Grant(session="s1", master="m", incarnation="I1", run=1, ticket="t", stored=0))
    assert agent.said(Gone)[0].reason == "refused"
    assert "without a seal" in agent.said(Gone)[0].detail
    assert agent.of(actions.GiveBack)
    assert agent.states == ["idle"]


@pytest.mark.parametrize(
    "message",
    [
        Start(session="s1", incarnation="I1", command=command(2)),
        Interrupt(session="s1", incarnation="I1", n=1, reason="Stop"),
        Data(session="s1", incarnation="I1", n=1, offset=0, size=1, data=b"!"),
    ],
    ids=lambda message: str(message.t),
)
def test_what_comes_in_plain_text_to_a_session_with_a_seal_changes_nothing(message: Start | Interrupt | Data) -> None:
    """And is not written to `bb.dead`, which is on a disk."""
    agent = Agent()
    agent.offer(offer(seal=True))
    agent.grant()
    agent.start()
    agent.write((1, "started"))
    agent.tell(inputs.PullWanted(session="s1", n=1, offset=0, length=1))
    agent.hear(message, sealed=False)
    assert [type(action) for action in agent.did] == [actions.Alarm]
    assert agent.of(actions.Alarm)[0].event == "seal_missing_or_invalid"
    agent.hear(message)
    assert [type(action) for action in agent.did] != [actions.Alarm]


def test_all_that_a_session_with_a_seal_says_of_its_commands_is_sealed() -> None:
    agent = Agent()
    agent.offer(offer(seal=True))
    agent.grant()
    agent.start()
    agent.write((1, "started"), (1, "header"))
    assert [event.sealed for event in published(agent, Event)] == [True, True]
    agent.tell(inputs.PullWanted(session="s1", n=1, offset=0, length=1))
    assert [pull.sealed for pull in published(agent, Pull)] == [True]


def test_what_cannot_be_opened_makes_the_session_resume_at_most_once_a_second() -> None:
    """After the grant that follows, the bridge starts again what has not completed."""
    agent = Agent()
    agent.offer(offer(seal=True))
    agent.grant()
    for _ in range(5):
        agent.hear(SEALED)
        assert agent.did == []
        agent.ping()  # a word of its bridge does not put it off
    agent.wait(1)
    assert len(agent.said(Resume)) == 1
    agent.hear(SEALED)
    agent.wait(0.9)
    assert agent.said(Resume) == []


def test_what_is_sealed_for_a_session_that_is_not_there_is_answered_as_all_else() -> None:
    """Rule 7; of one that was never there it says nothing, since it does not know whose that is."""
    agent = Agent()
    agent.offer(offer(seal=True))
    agent.grant()
    agent.release()
    assert agent.of(actions.ForgetSeal) == [actions.ForgetSeal(session="s1")]
    agent.hear(SEALED)
    assert [gone.reason for gone in agent.said(Gone)] == ["released"]
    agent.hear(SEALED.model_copy(update={"session": "s9"}))
    assert agent.did == []


def test_a_session_with_a_seal_is_one_after_a_restart_of_the_agent() -> None:
    """Its meta file has the offer; the keys are new."""
    agent = Agent()
    agent.offer(offer(seal=True))
    agent.grant()
    agent.start()
    agent.write((1, "started"))
    meta = [action.meta for action in agent.all if isinstance(action, actions.Persist)][-1]
    again = Agent(recovered=[inputs.Recovered(meta=meta, alive=True, last_seq=1)], journal=agent.journal)
    assert [resume.sealed for resume in published(again, Resume)] == [True]
    again.hear(Grant(session="s1", master="m", incarnation="I1", run=1, ticket="t", stored=0, seal=None))
    assert again.states == ["idle"]
