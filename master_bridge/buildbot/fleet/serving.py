"""The port of the master that serves its metrics and its health."""

from __future__ import annotations

from typing import Any

import structlog
from twisted.internet import defer
from twisted.internet.error import CannotListenError

log = structlog.get_logger(__name__)


class MetricsPort:
    """`broker` is the master's `AMQPBroker`, of which is told."""

    def __init__(self, broker: Any) -> None:
        self._broker = broker
        self._port: Any = None
        self._serving: tuple[str, int] | None = None

    @defer.inlineCallbacks
    def serve(self, host: str, port: int | None) -> Any:
        """On this port, and on none that was configured before; None: on none."""
        wanted = None if port is None else (host, port)
        if wanted == self._serving:
            return
        if self._port is not None:
            yield self._port.stopListening()
        self._port, self._serving = None, wanted
        if port is None:
            return
        from master_bridge.buildbot.fleet.metrics import site  # prometheus_client, which who serves none does without

        try:
            self._port = self._broker.master.reactor.listenTCP(port, site(self._broker), interface=host)
        except CannotListenError as error:
            self._serving = None
            log.error("amqp.metrics_port_unusable", reason=str(error), remedy="give AMQPBroker another metrics_port")
            return
        log.info("amqp.metrics_served", url=f"http://{host}:{self._port.getHost().port}/metrics")
