"""An agent's traces and their way out, while it runs. Imports opentelemetry: imported only where traces are wanted."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

import structlog

from contracts.traces.export import CLOSE_TIMEOUT, Exporter
from worker_agent.reporting.traces import AgentTraces

log = structlog.get_logger(__name__)

#: `service.name`, where OTEL_SERVICE_NAME does not say another one.
SERVICE = "worker-agent"
#: Variables that may hold what a collector asks for as a proof of who sends.
SECRETS = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")


class Tracing:
    """Of one agent, from its start to `close`."""

    def __init__(self, agent: str, instance: str) -> None:
        """`agent`: its name; `instance`: its uuid. Takes secrets out of the environment, which builds inherit.

        Raises `BadTraces`.
        """
        who = {"service.instance.id": instance, "cicd.worker.name": agent}
        self._exporter = Exporter(SERVICE, who, lambda reason: log.warning("traces_not_sent", reason=reason))
        self.traces = AgentTraces(agent, self._exporter.end)
        for name in SECRETS:
            os.environ.pop(name, None)
        log.info("tracing_started", service=SERVICE)

    async def close(self) -> None:
        """Send what is left; a collector that hangs keeps nobody."""
        self.traces.close()
        loop, sent = asyncio.get_running_loop(), asyncio.Event()

        def done() -> None:
            with suppress(RuntimeError):  # it came too late: the loop is closed
                loop.call_soon_threadsafe(sent.set)

        self._exporter.close(done)
        try:
            await asyncio.wait_for(sent.wait(), CLOSE_TIMEOUT)
        except asyncio.TimeoutError:
            log.warning("traces_lost", effect="the last spans could not be sent in time")
