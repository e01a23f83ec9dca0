"""Prometheus metrics and health endpoints on a port of their own; imported only where they are asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from worker_agent.reporting.figures import Figures

log = structlog.get_logger(__name__)

#: name -> (help, value); counters end in _total where they are shown
View = Callable[[], dict[str, tuple[str, float]]]


class Collector:
    """Reads the figures when somebody asks for them."""

    def __init__(self, figures: Figures, gauges: View, slots: Callable[[], dict[str, int]]) -> None:
        self._figures = figures
        self._gauges = gauges
        self._slots = slots

    def collect(self) -> Iterator[Metric]:
        """From prometheus_client: all figures, as they are now."""
        figures = self._figures
        for name, text, value in (
            ("offers", "Offers that were delivered to this agent.", figures.offers),
            ("claims", "Claims that were published.", figures.claims),
            ("grants", "Claims that were granted.", figures.grants),
            ("refusals", "Claims and resumes that were refused.", figures.refusals),
            ("events", "Events that were published, repetitions included.", figures.events),
            ("event_bytes", "Bytes of output and files in them.", figures.event_bytes),
            ("publications_refused", "Publications that the broker returned or rejected.",
             figures.publications_refused),
            ("dead_letters", "What this agent put into `dead`: malformed, of other versions, forged.",
             figures.dead_letters),
            ("links_lost", "Times that the link to the broker was lost.", figures.links_lost),
            ("masters_silenced", "Times that a master was found silent.", figures.masters_silenced),
        ):  # fmt: skip
            yield CounterMetricFamily(f"worker_agent_{name}", text, value=value)
        for name, text, histogram in (
            ("claim_latency_seconds", "From claim to grant.", figures.claim_latency),
            ("offer_wait_seconds", "How long delivered offers had waited since they were published.",
             figures.offer_wait),
        ):  # fmt: skip
            yield HistogramMetricFamily(
                f"worker_agent_{name}", text, buckets=histogram.buckets, sum_value=histogram.sum
            )
        for name, (text, gauge) in self._gauges().items():
            yield GaugeMetricFamily(f"worker_agent_{name}", text, value=gauge)
        slots = GaugeMetricFamily("worker_agent_slots", "Slots by what they do.", labels=["state"])
        for state, number in self._slots().items():
            slots.add_metric([state], number)
        yield slots


class Endpoints:
    """Serves /metrics, /live and /ready in a thread. Raises OSError when the port cannot be had.

    `live`: the loop turns; `ready`: the agent could take work. Both are asked in that thread.
    """

    def __init__(
        self, host: str, port: int, collector: Collector, *, live: Callable[[], bool], ready: Callable[[], bool]
    ) -> None:
        registry = CollectorRegistry()
        registry.register(collector)
        metrics: Any = make_wsgi_app(registry)

        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            path = environ["PATH_INFO"]
            if path == "/metrics":
                answer: Iterable[bytes] = metrics(environ, start_response)
                return answer
            if path not in ("/live", "/ready"):
                start_response("404 Not Found", [("Content-Type", "text/plain")])
                return [b"/metrics, /live, /ready\n"]
            good = live() if path == "/live" else ready()
            start_response("200 OK" if good else "503 Service Unavailable", [("Content-Type", "text/plain")])
            return [b"yes\n" if good else b"no\n"]

        self._server: WSGIServer = make_server(host, port, app, handler_class=_Quiet)
        self.port: int = self._server.server_port
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()
        log.info("metrics_served", url=f"http://{host}:{self.port}/metrics")

    def close(self) -> None:
        """Stop serving; blocks until that is done."""
        self._server.shutdown()
        self._server.server_close()


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """A line for each scrape says nothing."""
