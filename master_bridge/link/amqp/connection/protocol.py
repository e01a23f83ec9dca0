"""pika's Twisted protocol with what its public face lacks: plain channels, server properties, why it ended, an orderly
end with a limit.

pika's own `TwistedChannel` keeps a single slot for a returned message and ties each confirm to a Deferred that fails
when the channel closes; with mandatory messages published in a row that loses returns and floods the log with
unhandled errors. So channels here are pika's callback channels (`link.channel`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pika
from pika.adapters.twisted_connection import TwistedProtocolConnection
from pika.exceptions import AMQPError
from twisted.internet import defer
from twisted.internet.interfaces import IReactorTime

from contracts.operations import broker_failure
from contracts.operations.amqp_url import BrokerAddress
from contracts.operations.broker_failure import BrokerFailure
from master_bridge.link.amqp.connection.failures import failure_of
from master_bridge.link.amqp.connection.pace import Pace
from master_bridge.link.amqp.connection.properties import tolerate_unreadable
from master_bridge.link.errors import ChannelLost
from master_bridge.link.settings import LinkSettings

tolerate_unreadable()

#: Seconds for the goodbye to the broker when a connection is closed on purpose, and for what is unsent when it breaks.
CLOSE_TIMEOUT = 2.0
#: Bytes by which a peer is known to be no broker.
FIRST = 8


class BrokerProtocol(TwistedProtocolConnection):
    """One AMQP connection. `ready` fires when it is open, `on_lost(why)` is called once when it is gone.

    `gone` fires when its socket is closed.
    """

    def __init__(
        self, settings: LinkSettings, name: str, on_lost: Callable[[BrokerFailure], None], clock: IReactorTime
    ) -> None:
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
        self.gone: defer.Deferred[None] = defer.Deferred()
        self._clock = clock
        self._address: BrokerAddress = address
        self._on_lost: Callable[[BrokerFailure], None] | None = on_lost
        self._first = b""
        self._ended = False
        self._pace: Pace | None = None

    # -- the socket ----------------------------------------------------------------------------------------------------

    def makeConnection(self, transport: Any) -> None:
        self._parting = _Parting(transport, self._clock)
        super().makeConnection(self._parting)
        # every message of this protocol is answered: Nagle with delayed ACK costs 40 ms each
        transport.setTcpNoDelay(True)
        if self._ended:
            self.abort()  # nobody waits for it any more

    def dataReceived(self, data: bytes) -> None:
        if len(self._first) < FIRST:
            self._first += data[: FIRST - len(self._first)]
            stranger = broker_failure.not_amqp(self._first, self._address) if len(self._first) >= 4 else None
            if stranger is not None:
                self.give_up(stranger)
                return
        if self._pace is not None:
            self._pace.received(len(data))
        try:
            super().dataReceived(data)
        except AMQPError as error:  # what it cannot read, or answer; Twisted would log a traceback with each try
            self.give_up(failure_of(error, self._address))

    def connectionLost(self, reason: Any = None) -> None:
        self._parting.over()
        self.read_at_once()
        # before pika tells: it replaces what the broker said by how the socket was closed
        self._lost(self._explain(reason.value if reason is not None else ChannelLost("the connection is closed")))
        self._ended = True
        super().connectionLost(reason)
        self.gone.callback(None)

    def _explain(self, error: BaseException) -> BrokerFailure:
        said = self._impl._error  # not in pika's public face: why it closes, while the socket is not closed yet
        if said is not None:
            return failure_of(said, self._address)
        stranger = broker_failure.not_amqp(self._first, self._address)
        if stranger is not None:
            return stranger
        failure = failure_of(error, self._address)
        if failure.part == "connection" and not self._first:
            return broker_failure.silent(self._address, closed=True)
        if failure.part == "TLS" and self._first:
            return broker_failure.lost(self._address)  # it spoke TLS well, until something between broke it
        return failure

    def _lost(self, failure: BrokerFailure) -> None:
        callback, self._on_lost = self._on_lost, None
        if callback is not None:
            callback(failure)

    # -- asked by the link ---------------------------------------------------------------------------------------------

    @property
    def server_properties(self) -> Mapping[str, Any]:
        """What the broker said of itself: `version`, `product`, …"""
        return self._impl.server_properties or {}

    def on_blocked(self, callback: Callable[[str | None], None]) -> None:
        """`callback(reason)` when the broker stops our publishes (resource alarm), `callback(None)` afterwards."""
        self._impl.add_on_connection_blocked_callback(lambda _connection, frame: callback(str(frame.method.reason)))
        self._impl.add_on_connection_unblocked_callback(lambda *_: callback(None))

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

    def read_in_turns(self) -> None:
        """From now on: for what may come a moment later (`pace`)."""
        if self._pace is None and self._impl.is_open and not self._ended:
            self._pace = Pace(self.transport, self._clock)

    def read_at_once(self) -> None:
        """From now on, as from the beginning."""
        pace, self._pace = self._pace, None
        if pace is not None:
            pace.end()

    def too_late(self) -> None:
        """The handshake takes too long."""
        self.give_up(
            broker_failure.no_answer(self._address)
            if self._first
            else broker_failure.silent(self._address, closed=False)
        )

    def give_up(self, failure: BrokerFailure) -> None:
        """Close the socket without ceremony, for this reason."""
        self._lost(failure)
        self.abort()

    def end(self) -> None:
        """Say goodbye, and close the socket when it was answered or after `CLOSE_TIMEOUT` seconds; tells nobody.

        One that is not open yet is closed at once, or as soon as it is made.
        """
        self._on_lost = None
        if self._ended:
            return
        self._ended = True
        self.read_at_once()
        if not self._impl.is_open:
            self.abort()
            return
        timer = self._clock.callLater(CLOSE_TIMEOUT, self.abort)
        self.gone.addCallback(lambda _: timer.cancel() if timer.active() else None)
        self._impl.close()

    def abort(self) -> None:
        """Close the socket without ceremony."""
        if self.transport is not None:
            self.transport.abortConnection()


class _Parting:
    """A transport that does not wait for ever to send the rest: a peer that is gone takes nothing any more.

    pika closes so when heartbeats fail to come, which is when most often something is unsent. Once the connection
    is lost there is nothing to close: Twisted's TLS takes itself apart and raises AttributeError when asked (26.10).
    """

    def __init__(self, transport: Any, clock: IReactorTime) -> None:
        self._transport = transport
        self._clock = clock
        self._timer: Any = None
        self._is_over = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def loseConnection(self) -> None:
        if self._is_over:
            return
        self._transport.loseConnection()
        if self._timer is None:
            self._timer = self._clock.callLater(CLOSE_TIMEOUT, self.abortConnection)

    def abortConnection(self) -> None:
        if not self._is_over:
            self._transport.abortConnection()

    def resumeProducing(self) -> None:
        if not self._is_over:
            self._transport.resumeProducing()

    def over(self) -> None:
        """The socket is closed."""
        self._is_over = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
