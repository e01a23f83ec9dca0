"""structlog's events in Buildbot's own log, twistd.log, as `event key=value …`.

A structlog that somebody has configured already stays as it is.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

import structlog
from twisted.python import log as twisted_log

from contracts.operations.log_rendering import whatever_comes, without_orders


class _TwistedLogger:
    """Writes rendered events to Twisted's log; warnings and worse carry their level in the text."""

    def msg(self, text: str) -> None:
        # twistd.log is UTF-8: of a line with bytes that are none nothing would be written.
        twisted_log.msg(text.encode("utf-8", "backslashreplace").decode(), system="amqp")

    debug = info = warning = warn = error = exception = critical = fatal = failure = log = msg


def _level(_logger: Any, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if name not in ("info", "debug", "msg"):
        event["level"] = "error" if name == "exception" else name
    return event


def configure() -> None:
    """Once per master. pika logs errors with each try to connect; the link says why itself, once."""
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            whatever_comes(
                (
                    _level,
                    structlog.processors.format_exc_info,
                    without_orders,
                    structlog.processors.LogfmtRenderer(key_order=["event"], drop_missing=True, bool_as_flag=False),
                )
            )
        ],
        logger_factory=lambda *_: _TwistedLogger(),
        cache_logger_on_first_use=False,
    )
