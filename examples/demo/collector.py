"""A collector of traces: an HTTP server in this process that reads OTLP in protobuf, as a real one does."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A span as it came. Ids are hexadecimal digits, times seconds since the epoch; `parent` "": it has none."""

    service: str
    resource: Mapping[str, Any]
    name: str
    trace: str
    id: str
    parent: str
    start: float
    end: float
    kind: int
    attributes: Mapping[str, Any]
    events: tuple[str, ...]
    failure: str | None


class Collector:
    """`spans` are those that came; `hang`: requests get no answer until `close`."""

    def __init__(self, *, hang: bool = False) -> None:
        self.spans: list[Seen] = []
        self.asked = threading.Event()
        self._let_go = threading.Event()
        if not hang:
            self._let_go.set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces", self.path
                assert self.headers["Content-Type"] == "application/x-protobuf"
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.asked.set()
                collector._let_go.wait()
                collector.spans += _spans(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """A line for each batch says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="collector", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._let_go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def named(self, name: str, service: str = "") -> list[Seen]:
        return [span for span in list(self.spans) if span.name == name and service in ("", span.service)]


@contextmanager
def collecting(*, hang: bool = False) -> Iterator[Collector]:
    collector = Collector(hang=hang)
    try:
        yield collector
    finally:
        collector.close()


def _spans(request: Any) -> Iterator[Seen]:
    for group in request.resource_spans:
        resource = _values(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                yield Seen(
                    service=str(resource["service.name"]),
                    resource=resource,
                    name=span.name,
                    trace=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    start=span.start_time_unix_nano / 1e9,
                    end=span.end_time_unix_nano / 1e9,
                    kind=span.kind,
                    attributes=_values(span.attributes),
                    events=tuple(event.name for event in span.events),
                    failure=span.status.message if span.status.code == 2 else None,
                )


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
