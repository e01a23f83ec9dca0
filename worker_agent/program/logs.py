"""Log lines: structured events on standard error, for people or for programs. Never a secret.

No call of a logger raises or waits: a line that cannot be made becomes a plainer one, and one that cannot be written is
dropped by `contracts.operations.lossy_output`, which the program puts in the place of standard error.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import structlog

from contracts.operations.log_rendering import whatever_comes, without_orders

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(*, form: str, level: str) -> None:
    """`form` is "console" or "json". Other libraries' lines go the same way."""
    output = sys.stderr
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if form == "json":
        processors += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        processors += [structlog.processors.format_exc_info, without_orders]
        processors.append(
            structlog.dev.ConsoleRenderer(
                colors=output.isatty(), exception_formatter=structlog.dev.plain_traceback, sort_keys=False
            )
        )
    structlog.configure(
        processors=[whatever_comes(processors)],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(output),
        cache_logger_on_first_use=True,
    )
    # The AMQP library logs an error with each try to connect, and a traceback with each connection that ends. The link
    # says both itself, once.
    for noisy in ("aiormq", "aio_pika", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.DEBUG if level == "debug" else logging.CRITICAL)


def unhandled(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """The event loop's handler for what nobody caught."""
    error = context.get("exception")
    log = structlog.get_logger(__name__)
    from worker_agent.link.errors import LIBRARY_ERRORS

    if isinstance(error, (*LIBRARY_ERRORS, asyncio.CancelledError)):
        log.debug("unhandled_in_library", message=context["message"], error=repr(error))
    else:
        log.error("unhandled_error", message=context["message"], exc_info=error)
