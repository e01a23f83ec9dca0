"""Spans of builds as the bridge's machine makes them: what happens to a request, and which spans come of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from contracts.messages import Message, Offer, Start
from contracts.traces.spans import Span, TraceContext
from master_bridge.buildbot.traces.builds import BuildTraces
from master_bridge.buildbot.traces.tracing import wrong_traces
from master_bridge.core import actions, inputs
from master_bridge.core.actions import Action, Send
from master_bridge.core.inputs import Done, Input, InterruptCommand, Keep, StartCommand, Withdraw
from tests.unit.bridge_core.scene import MAKE, TEST, TICKETS, Agent, Scene, executing, sent


def root(key: str) -> TraceContext:
    return TraceContext(trace=TICKETS.trace_id(key), span=1).named("build", key)


class Traced(Scene):
    """A scene, and the spans that come of it. `stamped`: what went out."""

    def __init__(self, incarnation: str = "inc-1", **more: Any) -> None:
        self.spans: list[Span] = []
        self.stamped: list[Message] = []
        self.traces = BuildTraces(incarnation=incarnation, root=root, end=self.spans.append)
        super().__init__(**more)

    def do(self, input: Input) -> list[Action]:
        self.traces.saw(input, 1e9 + self.now)
        done = super().do(input)
        for action in done:
            self.traces.did(action, 1e9 + self.now)
            message = action.offer if isinstance(action, actions.PublishOffer) else getattr(action, "message", None)
            if message is not None:
                self.stamped.append(self.traces.stamped(message))
        return done

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    def deliver(self, agent: Agent, *events: Any) -> None:
        for event in events:
            self.says(agent, event)


def test_a_build_from_its_search_to_its_end() -> None:
    """Each span begins and ends when what it tells of did; offer and start say what they are a part of."""
    scene, agent = Traced(), Agent("a")
    offer = scene.offered(builder="linux", build_number=1)
    scene.wait(3)
    scene.says(agent, agent.claim(offer))
    scene.wait(0.5)
    scene.says(agent, agent.accept())
    scene.do(StartCommand(request="br-1", command=MAKE))
    scene.deliver(agent, agent.event(1, kind="started"), agent.event(2, kind="update", value=["rc", 2]))
    scene.wait(1)
    scene.deliver(agent, agent.event(3, kind="completed"))
    scene.do(Done(request="br-1"))
    scene.traces.completed("br-1", 1e9, "failure", 1e9 + scene.now)
    times = {span.name: (span.start - 1e9, span.end - 1e9) for span in scene.spans}
    assert times == {
        "search": (2, 5.5), "offer": (2, 2), "wait": (2, 5), "claim": (5, 5), "grant": (5, 5.5),
        "command shell": (5.5, 6.5), "session": (5.5, 6.5), "build linux": (0, 6.5),
    }  # fmt: skip
    ids = {span.context.span: span.name for span in scene.spans}
    above = {span.name: ids.get(span.parent.span) if span.parent else None for span in scene.spans}
    assert above == {
        "build linux": None, "search": "build linux", "session": "build linux", "command shell": "session",
        **dict.fromkeys(("offer", "wait", "claim", "grant"), "search"),
    }  # fmt: skip
    assert scene.named("command shell")[0].attributes["process.exit.code"] == 2
    assert scene.named("build linux")[0].failure == "failure"
    said = {type(it): TraceContext.of(it.traceparent) for it in scene.stamped if isinstance(it, (Offer, Start))}
    assert said == {Offer: root("br-1"), Start: scene.named("command shell")[0].context}


def test_a_restarted_master_goes_on_with_the_trace_and_the_session() -> None:
    """What the one that was killed has told is not told again; what it could not tell is, when it ends."""
    agent = Agent("a")
    first = Traced("inc-1")
    first.held(agent, commands=[MAKE])
    first.deliver(agent, agent.event(1, kind="started"), agent.event(2, kind="completed"))
    first.do(StartCommand(request="br-1", command=TEST))
    second = Traced("inc-2")
    agent.made, agent.epoch = 1e9 - 100, 2
    second.says(agent, agent.resume(executing(1, completed=True), executing(2)))
    second.seek(run=2)
    second.settle()
    second.says(agent, agent.accept())
    for command, n in ((MAKE, 1), (TEST, 2)):
        second.do(StartCommand(request="br-1", command=command))
        second.deliver(agent, agent.event(2 * n - 1, n=n, kind="started"), agent.event(2 * n, n=n, kind="completed"))
    second.do(Done(request="br-1"))
    both = [*first.spans, *second.spans]
    assert [id for id, number in Counter(span.context.span for span in both).items() if number > 1] == []
    assert {span.context.trace for span in both} == {root("br-1").trace}
    [session] = second.named("session")
    assert first.named("session") == []
    assert session.start == 1e9 - 100, "when it was granted first"
    assert {span.parent for span in both if span.name == "command shell"} == {session.context}
    assert [span.attributes["buildbot.command.started.earlier"] for span in second.named("command shell")] == [True] * 2
    assert [span.attributes["buildbot.answer"] for span in second.named("resume")] == ["granted"]


def test_what_ends_otherwise() -> None:
    """Withdrawn, lost, kept by a quick stop, put off, stopped; an open command's span ends with its session."""
    scene, agent = Traced(), Agent("a")
    scene.held(agent, commands=[MAKE])
    scene.do(InterruptCommand(request="br-1", n=1, reason="Stop"))
    scene.says(agent, agent.gone("lost", ticket=agent.granted))
    [command], [session] = scene.named("command shell"), scene.named("session")
    assert command.attributes["buildbot.command.interrupted"] is True
    assert session.failure is not None
    assert session.failure in (command.failure or "")
    scene.seek(run=2)
    scene.do(Withdraw(request="br-1"))
    assert scene.named("search")[-1].attributes["buildbot.outcome"] == "withdrawn"
    again = Agent("b", request="br-2")
    scene.held(again, commands=[MAKE])
    scene.do(Keep(request="br-2"))
    assert len(scene.named("session")) == 1, "the next process tells it"
    stranger = Agent("c", request="br-3")
    scene.seek("br-3")
    scene.says(stranger, stranger.claim("o-of-nobody"))
    scene.do(Withdraw(request="br-3"))
    assert [span.attributes["buildbot.answer"] for span in scene.named("claim")][-1] == "refused"


def test_a_steps_own_command_is_in_its_builds_trace() -> None:
    """Its search and its session say which step."""
    lint = inputs.PreparedCommand(name="shell", args={"command": ["lint"]}, digest="d", step="lint")
    scene = Traced()
    scene.settle()
    scene.seek("br-1/step-4", kind="command", step="lint", commands=(lint,))
    scene.do(Withdraw(request="br-1/step-4"))
    [search] = scene.named("search")
    assert search.parent == root("br-1")
    assert search.attributes["cicd.pipeline.task.name"] == "lint"


def test_no_command_line_is_told() -> None:
    """Whatever its arguments are: secrets among them, shown as "XXX" by Buildbot or not."""
    scene, agent = Traced(), Agent("a")
    args = {"command": ["login", ["obfuscated", "hunter2", "XXX"]], "env": {"TOKEN": "hunter2"}}
    scene.held(agent, commands=[inputs.PreparedCommand(name="shell", args=args, digest="d")])
    scene.deliver(
        agent, agent.event(1, kind="started"), agent.event(2, kind="header", data=b"hunter2"),
        agent.event(3, kind="completed", value="cannot start: login hunter2"),
    )  # fmt: skip
    scene.do(Done(request="br-1"))
    assert scene.named("command shell")[0].failure == "its agent could not run it"
    assert "hunter2" not in repr(scene.spans)


def test_what_is_remembered_is_bounded() -> None:
    """Claims that nobody verified, of requests that nobody knows, in any number."""
    scene = Traced()
    scene.settle()
    scene.seek()
    for number in range(20_000):
        agent = Agent("thief", session=f"s-{number}")
        event = inputs.MessageReceived(delivery=number, message=agent.claim("o"), user="thief")
        scene.traces.saw(event, 0.0)
    assert len(scene.traces._claims) == 10_000
    scene.do(Withdraw(request="br-1"))
    assert scene.named("claim") == []


@pytest.mark.parametrize("text", ["", "x", "00-0-0-00", f"00-{'0' * 32}-{'1' * 16}-01", f"00-{'1' * 32}-{'0' * 16}-01"])
def test_what_is_no_traceparent_is_none(text: str) -> None:
    assert TraceContext.of(text) is None


def test_a_trace_that_is_not_sampled_says_so() -> None:
    """So its agent does not trace it either."""
    context = TraceContext(trace=5, span=7, sampled=False)
    assert context.traceparent == f"00-{5:032x}-{7:016x}-00"
    assert TraceContext.of(context.traceparent) == context
    assert not context.named("anything").sampled


def test_commands_that_are_sent_again_are_one_span() -> None:
    """To an agent that was missing each open command is started again, under the same span."""
    scene, agent = Traced(), Agent("a")
    scene.held(agent, commands=[MAKE])
    scene.says(agent, agent.accept())
    starts = [send.message for send in sent(scene.all, Send) if isinstance(send.message, Start)]
    assert len(starts) == 2
    stamped = [it.traceparent for it in scene.stamped if isinstance(it, Start)]
    assert len(set(stamped)) == 1


def test_a_session_says_when_its_agent_did_not_answer() -> None:
    """And when it did again; not that it answered at first."""
    scene, agent = Traced(), Agent("a")
    scene.held(agent)
    scene.vanish(agent)
    agent.epoch = 2
    scene.says(agent, agent.resume())
    scene.says(agent, agent.accept())
    scene.do(Done(request="br-1"))
    assert [name for name, _ in scene.named("session")[0].events] == [
        "the agent does not answer",
        "the agent answers again",
    ]


def test_what_is_wrong_with_the_setting_is_told() -> None:
    assert wrong_traces("yes") == "traces: True or False, not 'yes'"
    assert wrong_traces(False) is None
    assert wrong_traces(True) is None, "the extra is installed here"
