"""Sessions of a master that speaks, of a new incarnation above all: nobody waits for the end of a back-off (rule 9)."""

from __future__ import annotations

from contracts.messages import Accept, Resume
from worker_agent.core import actions

from .harness import Agent, offer


def resumes(done: list[actions.Action]) -> list[Resume]:
    return [a.message for a in done if isinstance(a, actions.Publish) and isinstance(a.message, Resume)]


def backed_off() -> Agent:
    """A build whose master is down for so long that the next resume is a minute away."""
    agent = Agent()
    agent.running()
    agent.alive()
    agent.wait(70.0)
    assert resumes(agent.wait(50.0)) == []
    return agent


def test_the_first_word_of_a_new_incarnation_is_answered_as_a_roll_call() -> None:
    """Its roll call may be lost; `alive` follows every 3 s."""
    agent = backed_off()
    agent.alive(incarnation="I2")
    assert [resume.session for resume in agent.said(Resume)] == ["s1"]
    agent.wait(3.0)
    agent.alive(incarnation="I2")
    assert agent.said(Resume) == [], "once is enough"


def test_a_grant_of_a_new_incarnation_makes_the_other_sessions_of_that_master_resume() -> None:
    """It is a word of that incarnation, too."""
    agent = Agent(slots=3)
    agent.held()
    for name, session in (("o2", "s2"), ("o3", "s3")):
        agent.offer(offer(name, master="n" if session == "s3" else "m"))
        agent.grant(session, master="n" if session == "s3" else "m", incarnation="J1" if session == "s3" else "I1")
    agent.grant("s1", incarnation="I2")
    assert [resume.session for resume in agent.said(Resume)] == ["s2"]
    assert [accept.session for accept in agent.said(Accept)] == ["s1"]


def test_nobody_backs_off_from_a_master_that_speaks() -> None:
    """Rule 9's minute is for masters that are away; one that is there is asked again every 8 s."""
    agent = backed_off()
    times = []
    begin = agent.at
    for second in range(30):
        if second % 3 == 0:
            agent.alive()
        if resumes(agent.wait(1.0)):
            times.append(agent.at - begin)
    assert times == [4.0, 12.0, 20.0, 28.0], "one was due 4 s later anyway"


def test_a_stranger_who_broadcasts_a_masters_incarnation_first_does_not_silence_it() -> None:
    """The grant says whose incarnation it is: what it sends about the session is obeyed, not rejected."""
    agent = Agent()
    agent.alive("nobody", "I1")
    agent.held()
    agent.start()
    assert agent.kinds == ["Persist", "RunCommand"]
    agent.ping()
    assert agent.of(actions.Reject) == []
