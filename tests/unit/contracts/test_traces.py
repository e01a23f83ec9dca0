"""Traces: their way out, and what they cost who does not want them."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time

import pytest

from contracts.codec import decode, encode
from contracts.messages import Offer, Start
from contracts.traces.export import BadTraces, Exporter
from contracts.traces.spans import Span, TraceContext
from contracts.vectors.generate import MESSAGES
from examples.demo.collector import collecting
from tests.harness.waiting import wait_for

ROOT = TraceContext(trace=5, span=7)
SPAN = Span(name="build", context=ROOT, parent=None, start=1.5, end=2.25, failure="bad", events=(("half", 2.0),))


def closed(exporter: Exporter, timeout: float = 20.0) -> bool:
    done = threading.Event()
    exporter.close(done.set)
    return done.wait(timeout)


def test_who_traces_nothing_says_nothing_of_it() -> None:
    """Not a byte more on the wire than before there were traces; and what is said arrives."""
    for name in ("offer", "start"):
        message = MESSAGES[name].model_copy(update={"traceparent": None})
        assert b"traceparent" not in encode(message).body
        assert isinstance(message, (Offer, Start))
        said = message.model_copy(update={"traceparent": ROOT.traceparent})
        assert decode(encode(said).body) == said


def test_programs_that_do_not_trace_do_not_import_it() -> None:
    """Neither does a check of the configuration."""
    code = (
        "import sys, master_bridge.buildbot.broker, master_bridge.buildbot.worker, worker_agent.program.run, "
        "worker_agent.agent.loop, master_bridge.cli.fleet\n"
        "from master_bridge.buildbot.broker_settings import wrong_settings\n"
        "assert list(wrong_settings(url='amqp://localhost/')) == []\n"
        "assert not [name for name in sys.modules if name.startswith(('opentelemetry', 'google'))]\n"
        "assert list(wrong_settings(url='amqp://localhost/', traces=True)) == []\n"
        "assert 'opentelemetry.sdk.trace' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_span_arrives_with_its_ids_and_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """By OTLP; the resource says who sends. What is not sampled does not."""
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
        exporter = Exporter("service", {"service.instance.id": "m1"}, print)
        below = Span(name="below", context=ROOT.named("below"), parent=ROOT, start=1.5, end=1.0, kind="consumer")
        unwanted = Span(
            name="no", context=TraceContext(trace=6, span=7, sampled=False), parent=None, start=1.0, end=2.0
        )
        for span in (SPAN, below, unwanted):
            exporter.end(span)
        assert closed(exporter)
        first, second = collector.spans
    assert (first.trace, first.id, first.parent) == (f"{5:032x}", f"{7:016x}", "")
    assert (first.start, first.end, first.failure, first.events) == (1.5, 2.25, "bad", ("half",))
    assert (second.parent, second.kind, second.end) == (first.id, 5, 1.5)
    assert first.service == "service"
    assert first.resource["service.instance.id"] == "m1"
    assert first.resource["deployment.environment"] == "test"


def test_a_collector_that_hangs_or_refuses_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many spans as may be: whoever ends them goes on, and so does who closes. The queue is bounded."""
    said: list[str] = []
    ends: list[threading.Event] = []
    with collecting(hang=True) as collector, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        for url in (collector.url, f"http://127.0.0.1:{nobody.getsockname()[1]}"):
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
            exporter = Exporter("service", {}, said.append)
            began = time.process_time()
            for number in range(5_000):
                exporter.end(Span(name="s", context=ROOT.named(number), parent=ROOT, start=1.0, end=2.0))
            ends.append(threading.Event())
            exporter.close(ends[-1].set)
            assert time.process_time() - began < 10, "the processor's time, which waiting takes none of"
        assert collector.asked.wait(20)
        wait_for(lambda: said, 20, lambda: "a word on what does not arrive")
        assert len(exporter._provider._active_span_processor._span_processors[0]._batch_processor._queue) <= 2048  # type: ignore[attr-defined]
    # their threads take numbers from `random`, which Hypothesis takes for a fault of the test that runs by then
    assert all(each.wait(60) for each in ends)


@pytest.mark.parametrize(("name", "value"), [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_BSP_MAX_QUEUE_SIZE", "0")])
def test_what_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """And the program goes on without traces, or does not start: it never fails later."""
    monkeypatch.setenv(name, value)
    with pytest.raises(BadTraces, match="OTEL_"):
        Exporter("service", {}, print)


def test_the_sampler_of_the_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for one trace each time, so that a restart changes nothing."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    exporters = [Exporter("service", {}, print) for _ in range(2)]
    said = [[exporter.samples(trace << 56 | trace) for trace in range(1, 200)] for exporter in exporters]
    assert said[0] == said[1]
    assert {True, False} == set(said[0]) or len(set(said[0])) == 1
