"""pika's Twisted protocol with what its public face lacks: plain channels, server properties, the blocked signal.

pika's own `TwistedChannel` keeps a single slot for a returned message and ties each confirm to a Deferred that fails
when the channel closes; with mandatory messages published in a row that loses returns and floods the log with
unhandled errors. So channels here are pika's callback channels (`link.channel`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pika
from pika.adapters.twisted_connection import TwistedProtocolConnection
from twisted.internet import defer
from twisted.internet.interfaces import IReactorTime

from master_bridge.link.errors import ChannelLost
from master_bridge.link.settings import LinkSettings


class BrokerProtocol(TwistedProtocolConnection):
    """One AMQP connection. `ready` fires when it is open, `on_lost(reason)` is called once when it is gone."""

    def __init__(self, settings: LinkSettings, name: str, on_lost: Callable[[str], None], clock: IReactorTime) -> None:
        address = settings.address
        super().__init__(
            pika.ConnectionParameters(
                host=address.host,
                port=address.port,
                virtual_host=address.vhost,
                credentials=pika.PlainCredentials(address.user, address.password),
                heartbeat=settings.heartbeat,
                client_properties={"connection_name": name, "product": "buildbot-amqp master bridge"},
            ),
            custom_reactor=clock,
        )
        self._on_lost: Callable[[str], None] | None = on_lost
        self._impl.add_on_close_callback(lambda _connection, error: self._lost(str(error)))

    def connectionMade(self) -> None:
        super().connectionMade()
        # every message of this protocol is answered: Nagle with delayed ACK costs 40 ms each
        self.transport.setTcpNoDelay(True)

    def connectionLost(self, reason: Any = None) -> None:
        # before pika tells: it says only that the stream was lost
        self._lost(_explain(str(reason.value) if reason is not None else "connection lost"))
        super().connectionLost(reason)

    def _lost(self, reason: str) -> None:
        callback, self._on_lost = self._on_lost, None
        if callback is not None:
            callback(reason)

    @property
    def server_properties(self) -> Mapping[str, Any]:
        """What the broker said of itself: `version`, `product`, …"""
        return self._impl.server_properties or {}

    def on_blocked(self, callback: Callable[[bool], None]) -> None:
        """`callback(True)` when the broker stops our publishes (resource alarm), `callback(False)` afterwards."""
        self._impl.add_on_connection_blocked_callback(lambda *_: callback(True))
        self._impl.add_on_connection_unblocked_callback(lambda *_: callback(False))

    def open_channel(self) -> defer.Deferred[Any]:
        """A plain pika channel; fails with `ChannelLost` when the connection goes first."""
        result: defer.Deferred[Any] = defer.Deferred()
        if not self._impl.is_open:
            return defer.fail(ChannelLost("the connection is closed"))
        channel = self._impl.channel(on_open_callback=lambda opened: result.called or result.callback(opened))
        channel.add_on_close_callback(
            lambda _channel, error: result.called or result.errback(ChannelLost(f"channel closed: {error}"))
        )
        return result

    def abort(self) -> None:
        """Close the socket without ceremony."""
        if self.transport is not None:
            self.transport.abortConnection()


def _explain(text: str) -> str:
    """OpenSSL's `[('SSL routines', '', 'certificate verify failed')]`, with what to do about it."""
    if "certificate verify failed" in text:
        return (
            'the broker\'s certificate does not verify: give the CA that signed it with AMQPBroker(tls={"ca": …}), or '
            "correct the host name in the URL"
        )
    return text
