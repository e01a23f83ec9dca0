"""A master's traces: what its bridge and Buildbot say goes to `BuildTraces`, and what that tells goes out by OTLP."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from buildbot.process.results import Results
from twisted.internet import defer

from contracts.operations.extras import missing_extra
from contracts.traces.spans import TraceContext
from contracts.trust.tickets import Tickets
from master_bridge.buildbot.traces.builds import BuildTraces

if TYPE_CHECKING:
    from contracts.traces.export import Exporter

log = structlog.get_logger(__name__)

#: `service.name`, where OTEL_SERVICE_NAME does not say another one.
SERVICE = "buildbot-master"


class TracedBridge(Protocol):
    """The bridge: what it is told and does is told to `traces`, if there are any."""

    incarnation: str
    traces: BuildTraces | None


class Tracing:
    """Of one `AMQPBroker`. Opentelemetry is imported by `begin`, and not before."""

    def __init__(self) -> None:
        self._exporter: Exporter | None = None
        self._consumer: Any = None

    @defer.inlineCallbacks
    def begin(self, master: Any, name: str, tickets: Tickets, bridge: TracedBridge) -> Any:
        """Builds that look for an agent from now on are traced. What is wrong with the settings is told in the log:
        builds go on without traces."""

        def trouble(reason: str) -> None:
            master.reactor.callFromThread(log.warning, "amqp.traces_not_sent", reason=reason)

        try:
            from contracts.traces.export import BadTraces, Exporter
        except ImportError as error:
            log.error("amqp.traces_not_sent", reason=missing_extra(error, "master") or str(error))
            return
        try:
            exporter = self._exporter = Exporter(SERVICE, {"service.instance.id": name}, trouble)
        except BadTraces as error:
            log.error("amqp.traces_not_sent", reason=str(error))
            return

        def root(key: str) -> TraceContext:
            trace = tickets.trace_id(key)
            return TraceContext(trace=trace, span=1, sampled=exporter.samples(trace)).named("build", key)

        traces = BuildTraces(incarnation=bridge.incarnation, root=root, end=exporter.end)

        def completed(_key: object, request: dict[str, Any]) -> None:
            """Buildbot's own event, `data/spec/buildrequest.raml`."""
            submitted = request["submitted_at"].timestamp()
            result = Results[request["results"]]
            traces.completed(f"br-{request['buildrequestid']}", submitted, result, time.time())

        self._consumer = yield master.mq.startConsuming(completed, ("buildrequests", None, "complete"))
        bridge.traces = traces
        log.info("amqp.tracing_started", service=SERVICE)

    @defer.inlineCallbacks
    def end(self, reactor: Any, timeout: float) -> Any:
        """Send what is left, for as long as `timeout` says: a collector that hangs keeps no master."""
        consumer, exporter = self._consumer, self._exporter
        self._consumer = self._exporter = None
        if consumer is not None:
            yield consumer.stopConsuming()
        if exporter is None:
            return
        sent: defer.Deferred[None] = defer.Deferred()
        sent.addTimeout(timeout, reactor)
        exporter.close(lambda: reactor.callFromThread(sent.callback, None))
        try:
            yield sent
        except defer.TimeoutError:
            log.warning("amqp.traces_lost", detail="the last spans could not be sent in time")


def wrong_traces(traces: object) -> str | None:
    """What is wrong with `traces` in master.cfg."""
    if not isinstance(traces, bool):
        return f"traces: True or False, not {traces!r}"
    if traces:
        try:
            import contracts.traces.export  # noqa: F401  # can it be?
        except ImportError as error:
            return f"traces: {missing_extra(error, 'master') or error}"
    return None
