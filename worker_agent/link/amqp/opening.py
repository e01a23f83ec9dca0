"""Opens one connection to the broker, or says why it cannot be had: for the link, the doctor and other commands."""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from contracts.operations.reachability import looked_at
from worker_agent.link.amqp.properties import leave_names_to_the_broker, tolerate_unreadable
from worker_agent.link.amqp.transport import BrokerConnection, Heard, Socket
from worker_agent.link.errors import CA_SETTING, LIBRARY_ERRORS, LinkError, failure_of
from worker_agent.link.in_time import in_time
from worker_agent.link.options import LinkOptions

tolerate_unreadable()
leave_names_to_the_broker()

log = structlog.get_logger(__name__)

#: Seconds for the goodbye to the broker when a connection is closed on purpose.
CLOSE_TIMEOUT = 5.0


class Opened:
    """An open connection and what its broker says of it. Ended by `close`."""

    def __init__(self, options: LinkOptions, purpose: str) -> None:
        self._options = options
        self.heard = Heard(self._blocked)
        self._socket = Socket(options.tls_context(), self.heard)
        self.connection = BrokerConnection(options.connection_url(), self._socket, f"{options.name} {purpose}".rstrip())

    async def open(self) -> None:
        """Within `connect_timeout`. Raises `LinkError`; then, and when cancelled, nothing is left open."""
        try:
            await in_time(self.connection.connect(), self._options.connect_timeout)
        except LIBRARY_ERRORS as error:
            self._socket.abort()
            failure = failure_of(error, self._options, self.heard)
            if failure.unverified:
                failure = await asyncio.to_thread(looked_at, failure, self._options.address, ca=CA_SETTING)
            raise LinkError(failure) from error
        except BaseException:
            self._socket.abort()
            raise

    async def close(self) -> None:
        """AMQP's goodbye; without an answer in `CLOSE_TIMEOUT` seconds the socket is closed."""
        if not self.connection.is_closed:
            with contextlib.suppress(*LIBRARY_ERRORS):
                await asyncio.wait_for(self.connection.close(), CLOSE_TIMEOUT)
        self._socket.abort()

    def _blocked(self, reason: str | None) -> None:
        if reason is None:
            log.info("broker_takes_messages_again", broker=self._options.where)
        else:
            log.warning(
                "broker_takes_no_messages", broker=self._options.where, reason=reason,
                effect="what is said waits in the journal", remedy="free memory or disk on the broker's machine",
            )  # fmt: skip


async def open_connection(options: LinkOptions, purpose: str = "") -> Opened:
    """`purpose` follows the name that the broker shows. Raises `LinkError` that says why there is none."""
    try:
        opened = Opened(options, purpose)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError: the TLS files
        raise LinkError(f"--tls-ca, --tls-cert or --tls-key cannot be used: {error}") from error
    await opened.open()
    return opened
