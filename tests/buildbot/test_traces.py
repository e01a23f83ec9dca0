"""Traces of real builds, read from a real collector: one trace a build, also where its master is killed."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from examples.demo.collector import Collector, Seen, collecting
from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for

SECRET = "correct horse battery staple"
CONFIG = f"""
c['workers'] = [worker.AMQPLatentWorker('linux', requires=['gtk'])]
builder("app", c['workers'],
    steps.ShellCommand(name="secret", command=["sh", "-c", "echo \\"<$OTEL_EXPORTER_OTLP_HEADERS>\\"; exit 4",
            ("obfuscated", {SECRET!r}, "XXX")],
        haltOnFailure=False, flunkOnFailure=False, env={{"PASSWORD": {SECRET!r}}}),
    steps.StringDownload("a" * 300000, name="fetch", workerdest="file"),
    steps.FileUpload(name="bring", workersrc="file", masterdest="brought"),
    steps.CapabilityCommand(name="lint", command="exit 3", requires=["gtk"], haltOnFailure=False, flunkOnFailure=False),
    steps.ShellCommand(name="gate", command="echo begun; while [ ! -e {{gate}} ]; do sleep 0.1; done; exit 5",
        flunkOnFailure=False))
"""


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """The programs that this test starts send their traces to it."""
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer of-the-collector")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        yield collector


def tree(collector: Collector) -> dict[str, Seen]:
    """The spans by id. Each has one id, all are of one trace, and each but the first one's parent is there."""
    spans = list(collector.spans)
    known = {span.id: span for span in spans}
    often = {id for id, number in Counter(span.id for span in spans).items() if number > 1}
    assert [span for span in spans if span.id in often] == []
    assert {span.trace for span in spans} == {spans[0].trace}
    assert [span.name for span in spans if not span.parent] == ["build app"]
    assert [span for span in spans if span.parent and span.parent not in known] == []
    return known


def test_a_build_is_one_trace_though_its_master_is_killed(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], collector: Collector, tmp_path: Path
) -> None:
    """A master is killed in the middle of a command, and its agent restarted; the next master adopts it. What both
    masters and both processes of the agent tell is in one trace, each span below what it is a part of."""
    gate = tmp_path / "gate"
    master = make_master(CONFIG.replace("{gate}", str(gate)), broker="traces=True")
    agent = make_agent("a1", capabilities=["gtk"], slots=2, options=["--traces"])
    request = master.force("app")
    first = master.step_running(request, "gate")
    wait_for(lambda: master.output(first, "gate") == "begun\n", 30, lambda: master.describe(request))
    wait_for(lambda: len(collector.named("run lint")) == 1, 10, lambda: str([s.name for s in collector.spans]))
    master.kill()
    os.kill(agent.pid, signal.SIGUSR2)
    wait_for(lambda: "session_found" in agent.log(), 30, agent.log)
    gate.touch()
    wait_for(lambda: agent.log().count("command_ended") >= 5, 30, agent.log)
    master.start()
    build = master.finished(request, 60)
    assert build.id != first.id
    assert build.step_result("gate") == "FAILURE"
    assert master.output(build, "secret") == "<>\n", "what proves to the collector who sends is the agent's alone"
    wait_for(lambda: collector.named("build app"), 20, lambda: str([s.name for s in collector.spans]))
    agent.stop()
    master.stop()

    spans = tree(collector)

    def above(span: Seen) -> str:
        return spans[span.parent].name

    assert {span.service for span in spans.values()} == {"buildbot-master", "worker-agent"}
    [root] = collector.named("build app")
    assert root.attributes["cicd.pipeline.result"] == "success"
    sessions = collector.named("session")
    assert len(sessions) == 3, "the build's, adopted; the step's own, once for each of two builds"
    assert {above(span) for span in sessions} == {"build app"}
    assert [span.attributes.get("buildbot.session.adopted") for span in sessions].count(True) == 1
    assert {above(span) for name in ("claim", "keeper start") for span in collector.named(name, "worker-agent")} == {
        "build app"
    }
    assert {above(span) for name in ("offer", "wait", "grant") for span in collector.named(name)} == {"search"}
    assert {above(span) for name in ("claim", "resume") for span in collector.named(name, "buildbot-master")} == {
        "search"
    }
    for step, code in (("secret", 4), ("lint", 3), ("gate", 5)):
        commands, runs = collector.named(f"command {step}"), collector.named(f"run {step}")
        assert {span.attributes["process.exit.code"] for span in [*commands, *runs]} == {code}
        assert {above(span) for span in commands} == {"session"}
        assert {above(span) for span in runs} == {f"command {step}"}
    [gate_run] = collector.named("run gate")
    assert len(collector.named("run secret")) == 1, "the second build's was answered out of the journal"
    assert spans[gate_run.parent].attributes["buildbot.command.started.earlier"] is True
    adopted = next(span for span in sessions if span.attributes.get("buildbot.session.adopted"))
    assert adopted.start <= gate_run.start, "it began with the first master"
    for name, step in (("download", "fetch"), ("upload", "bring")):
        moved = collector.named(name, "worker-agent")
        assert [span.attributes["buildbot.transfer.bytes"] for span in moved] == [300000]
        assert above(moved[0]) == f"run {step}"
        assert {above(span) for span in collector.named(name, "buildbot-master")} == {f"command {step}"}
    [who] = {span.resource["cicd.worker.name"] for span in spans.values() if span.service == "worker-agent"}
    assert who == "a1"
    assert all("service.version" in span.resource for span in spans.values())
    assert SECRET not in repr(collector.spans)
    assert "of-the-collector" not in repr(collector.spans) + agent.log() + master.log()


@pytest.mark.long  # the exporter alone: tests/unit/contracts/test_traces.py
def test_a_collector_that_hangs_costs_no_build(
    make_master: Callable[..., BuildMaster],
    make_agent: Callable[..., Agent],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It takes requests and never answers, and more spans come than there is room for: builds run, both programs stop
    in time."""
    with collecting(hang=True) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "4")
        monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2")
        master = make_master(
            "c['workers'] = [worker.AMQPLatentWorker('w', requires=['gtk'])]\n"
            "builder('app', c['workers'], *[steps.ShellCommand(name=f's{n}', command='true') for n in range(5)])\n",
            broker="traces=True",
        )
        agent = make_agent("a1", capabilities=["gtk"], options=["--traces"])
        for _ in range(3):
            assert master.finished(master.force("app"), 60).result == "SUCCESS"
            assert collector.asked.wait(20)
        assert collector.spans == []
        agent.stop(timeout=30)
        master.stop(timeout=30)
        assert "amqp.traces_lost" in master.log()
        assert "traces_lost" in agent.log()
