"""An agent's spans as its machine makes them, each below a span of its master's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from contracts.messages import Offer, Start
from contracts.traces.spans import Span, TraceContext
from tests.unit.agent_core.harness import Agent, command, command_offer, offer
from worker_agent.core import actions, inputs
from worker_agent.reporting.traces import AgentTraces

BUILD = TraceContext(trace=5, span=1)
COMMAND, COMMAND_2 = BUILD.named("command of the first master"), BUILD.named("command of the next master")


class Traced(Agent):
    """An agent of the harness, and the spans that come of it."""

    def __init__(self, **more: Any) -> None:
        self.spans: list[Span] = []
        self.traces = AgentTraces("builder7", self.spans.append)
        super().__init__(**more)

    def tell(self, given: inputs.Input) -> list[actions.Action]:
        self.traces.saw(given, self.at)
        before = len(self.all)
        done = super().tell(given)
        for action in self.all[before:]:
            self.traces.did(action, self.at)
        return done

    def started(self, context: TraceContext | None, n: int = 1, incarnation: str = "I1") -> None:
        traceparent = context.traceparent if context is not None else None
        self.hear(Start(session="s1", incarnation=incarnation, command=command(n), traceparent=traceparent))

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


def traced(what: Offer, context: TraceContext = BUILD) -> Offer:
    return what.model_copy(update={"traceparent": context.traceparent})


def test_a_build_from_its_offer_to_its_end() -> None:
    """Claim and keeper below the build; a command below the master's command, once its end is stored."""
    agent = Traced()
    agent.offer(traced(offer()))
    agent.at += 0.5
    agent.grant()
    agent.at += 0.1
    agent.traces.keeper_ready("s1", agent.at)
    agent.started(COMMAND)
    agent.at += 2
    agent.write((1, "started"))
    agent.journal.append(_rc(agent, 3))
    agent.write((1, "completed"))
    assert agent.named("run shell") == [], "its master may be dead: the next one tells another span"
    agent.stored(3)
    told = {span.name: (span.parent, round(span.end - span.start, 3)) for span in agent.spans}
    assert told == {"claim": (BUILD, 0.5), "keeper start": (BUILD, 0.1), "run shell": (COMMAND, 2.0)}
    assert agent.named("run shell")[0].attributes["process.exit.code"] == 3
    assert len({span.context.span for span in agent.spans}) == 3


def _rc(agent: Agent, code: int) -> Any:
    from contracts.messages import Event

    seq = agent.journal.last_seq("s1") + 1
    return Event(session="s1", seq=seq, n=1, kind="update", value=["rc", code])


def test_a_command_that_ended_while_its_master_was_dead_is_the_next_ones() -> None:
    """Its span is below that of the master which has stored its end, and told once."""
    agent = Traced()
    agent.offer(traced(offer()))
    agent.grant()
    agent.started(COMMAND)
    agent.write((1, "started"), (1, "completed"))
    agent.roll_call(incarnation="I2")
    agent.grant(incarnation="I2")
    agent.started(COMMAND_2, incarnation="I2")
    agent.stored(2, incarnation="I2")
    agent.grant(incarnation="I3")
    agent.started(COMMAND, incarnation="I3")
    agent.stored(2, incarnation="I3")
    agent.release(incarnation="I3")
    assert [span.parent for span in agent.named("run shell")] == [COMMAND_2]


def test_a_command_that_runs_before_any_grant_is_the_builds() -> None:
    """Rule 15: until a master says more."""
    agent = Traced()
    agent.alive()
    delivery = agent.offer(traced(command_offer()))
    agent.confirm()
    agent.wait(1)
    assert delivery
    assert [span.attributes["buildbot.answer"] for span in agent.named("claim")] == ["started before a grant"]
    agent.write((1, "started"), (1, "completed"))
    agent.traces.close()
    assert [span.parent for span in agent.named("run shell")] == [BUILD]


def test_claims_that_came_to_nothing() -> None:
    """Refused, put off, unanswered: each claim has a span; an offer that is not claimed has none."""
    agent = Traced()
    for number in (1, 2, 3):
        agent.alive()
        agent.offer(traced(offer(f"o{number}")))
        if number == 1:
            agent.refuse(session="s1")
        elif number == 2:
            agent.later(session="s2")
        else:
            agent.wait(10)
    agent.offer(traced(offer("o9")), able=False)
    assert [span.attributes["buildbot.answer"] for span in agent.named("claim")] == ["refused", "put off", "unanswered"]


def test_who_is_not_traced_has_no_spans() -> None:
    """No field, or a master that does not sample it."""
    agent = Traced()
    agent.held()
    agent.started(None)
    agent.write((1, "started"), (1, "completed"))
    agent.stored(2)
    agent.release()
    assert agent.spans == []


def test_what_an_earlier_process_of_the_agent_started_ends_here() -> None:
    """Its beginning is known from how long it took."""
    before = Traced()
    before.offer(traced(offer()))
    before.grant()
    before.started(COMMAND)
    before.write((1, "started"))
    metas = [action.meta for action in before.all if isinstance(action, actions.Persist)]
    recovered = inputs.Recovered(meta=metas[-1], alive=True, last_seq=1)
    agent = Traced(recovered=[replace(recovered)], journal=before.journal)
    agent.at = 500.0
    agent.grant(stored=1)
    agent.started(COMMAND)
    elapsed = _rc(agent, 0).model_copy(update={"value": ["elapsed", 30.0]})
    agent.journal.append(elapsed)
    agent.write((1, "completed"))
    agent.stored(3)
    [run] = agent.named("run shell")
    assert (run.parent, run.start, run.end) == (COMMAND, 470.0, 500.0)


def test_after_a_restart_a_start_says_which_step_it_is() -> None:
    """It may come after the command's end: a master that was dead, too, says it then."""
    agent = Traced()
    ended: dict[str, Any] = {"n": 1, "name": "shell", "step": "", "seconds": 3.0, "exit_code": 0}
    agent.traces.did(actions.Report(event="command_ended", session="s1", offer=traced(offer()), fields=ended), 100.0)
    told = command(1).model_copy(update={"step": "compile"})
    start = Start(session="s1", incarnation="I2", command=told, traceparent=COMMAND_2.traceparent)
    agent.traces.saw(inputs.MessageReceived(message=start, user="bridge"), 101.0)
    agent.traces.close()
    assert [(span.name, span.parent) for span in agent.spans] == [("run compile", COMMAND_2)]


def test_an_open_command_ends_with_its_session() -> None:
    agent = Traced()
    agent.offer(traced(offer()))
    agent.grant()
    agent.started(COMMAND)
    agent.write((1, "started"))
    agent.release()
    [run] = agent.named("run shell")
    assert run.failure is not None
