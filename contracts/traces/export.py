"""Spans' way out: OTLP over HTTP, by OpenTelemetry's SDK, as its environment variables say.

A thread of the SDK's sends; `Exporter.end` only puts a span into a queue, the oldest of which go where it is full
(`OTEL_BSP_MAX_QUEUE_SIZE`). So a collector that hangs, refuses or is gone costs spans, and nobody waits for it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping

from opentelemetry import trace
from opentelemetry.context import Context as Carrier
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from contracts.errors import ContractError
from contracts.operations.program_version import version
from contracts.traces.spans import Span, TraceContext

#: Milliseconds for which spans are collected, where OTEL_BSP_SCHEDULE_DELAY does not say otherwise. The SDK's 5 s would
#: be lost with a process that is killed.
DELAY = 1000.0
#: Seconds between two lines on what the SDK says is wrong.
SAY_AGAIN = 60.0
#: Seconds that the last spans have for their way out when a program ends.
CLOSE_TIMEOUT = 3.0

_KINDS = {"internal": SpanKind.INTERNAL, "producer": SpanKind.PRODUCER, "consumer": SpanKind.CONSUMER}
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


class BadTraces(ContractError):
    """Traces cannot be sent as the environment wants it."""


class Exporter:
    """Sends the spans of one program. From one thread only; see `close`."""

    def __init__(self, service: str, attributes: Mapping[str, str], trouble: Callable[[str], None]) -> None:
        """`service`: `service.name`, where OTEL_SERVICE_NAME names no other. `attributes`: who this is.

        `trouble` is told why spans do not arrive, by the SDK's thread and once a minute at most. Raises `BadTraces`.
        """
        protocol = next((os.environ[name] for name in _PROTOCOLS if os.environ.get(name)), "http/protobuf")
        if protocol != "http/protobuf":
            raise BadTraces(f"traces are sent as http/protobuf, not as {protocol!r}: unset {_PROTOCOLS[1]}")
        self._ids = _Ids()
        delay = None if os.environ.get("OTEL_BSP_SCHEDULE_DELAY") else DELAY
        try:
            named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": service}
            resource = Resource.create({**named, "service.version": version(), **attributes})
            self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
            self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=delay))
        except Exception as error:  # of whichever variable it is that cannot be used
            raise BadTraces(f"a variable OTEL_… of traces cannot be used: {error}") from error
        sdk = logging.getLogger("opentelemetry")
        sdk.handlers, sdk.propagate = [_Trouble(trouble)], False
        self._tracer = self._provider.get_tracer("buildbot-amqp", version())

    def samples(self, trace_id: int) -> bool:
        """Does the sampler of OTEL_TRACES_SAMPLER want this trace? Those of OpenTelemetry say the same each time."""
        return self._provider.sampler.should_sample(None, trace_id, "build").decision is Decision.RECORD_AND_SAMPLE

    def end(self, span: Span) -> None:
        """`span` has ended: on its way it goes, where it is wanted."""
        if not span.context.sampled:
            return
        self._ids.next = span.context
        made = self._tracer.start_span(
            span.name,
            context=_carrier(span.parent),
            kind=_KINDS[span.kind],
            attributes=dict(span.attributes),
            start_time=_nanoseconds(span.start),
        )
        for name, at in span.events:
            made.add_event(name, timestamp=_nanoseconds(at))
        if span.failure is not None:
            made.set_status(Status(StatusCode.ERROR, span.failure))
        made.end(_nanoseconds(max(span.start, span.end)))

    def close(self, done: Callable[[], None]) -> None:
        """Send what is left, in a thread that calls `done` at its end. Nobody has to wait for it (`CLOSE_TIMEOUT`)."""

        def last() -> None:
            self._provider.shutdown()
            done()

        threading.Thread(target=last, name="last traces", daemon=True).start()


class _Trouble(logging.Handler):
    """What the SDK says is wrong, for the program's own log."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell
        self._told = float("-inf")

    def emit(self, record: logging.LogRecord) -> None:
        if time.monotonic() - self._told >= SAY_AGAIN:
            self._told = time.monotonic()
            self._tell(record.getMessage())


class _Ids(IdGenerator):
    """Gives the SDK the ids that the next span has already."""

    next: TraceContext

    def generate_span_id(self) -> int:
        return self.next.span

    def generate_trace_id(self) -> int:
        return self.next.trace


def _carrier(parent: TraceContext | None) -> Carrier:
    if parent is None:
        return Carrier()
    ids = SpanContext(parent.trace, parent.span, is_remote=True, trace_flags=TraceFlags(int(parent.sampled)))
    return trace.set_span_in_context(trace.NonRecordingSpan(ids), Carrier())


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1_000_000_000)
