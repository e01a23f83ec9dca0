"""Deferreds around single calls of a plain pika channel: each fires with the answer, or fails with the channel."""

from __future__ import annotations

from typing import Any

from pika.exceptions import ChannelClosedByBroker
from twisted.internet import defer

from contracts.topology import EXCHANGES
from master_bridge.link.declarations import Queue, explain_mismatch
from master_bridge.link.errors import ChannelLost, QueueMismatch

PRECONDITION_FAILED = 406
ACCESS_REFUSED = 403
NOT_FOUND = 404


class Calls:
    """Makes calls on one channel. `lost` is the reason once the channel is closed."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self.lost: Exception | None = None
        self._waiting: set[defer.Deferred[Any]] = set()
        channel.add_on_close_callback(self._closed)

    def call(self, method: str, /, **arguments: Any) -> defer.Deferred[Any]:
        """`channel.<method>(callback=…)`; fails with pika's reason (`ChannelClosedByBroker`, …)."""
        if self.lost is not None:
            return defer.fail(self.lost)
        result: defer.Deferred[Any] = defer.Deferred()
        self._waiting.add(result)

        def answered(*answer: Any) -> None:
            if result in self._waiting:
                self._waiting.discard(result)
                result.callback(answer[0] if answer else None)

        try:
            getattr(self.channel, method)(callback=answered, **arguments)
        except Exception as error:  # pika raises what fits the closed state: several unrelated classes
            self._waiting.discard(result)
            return defer.fail(error)
        return result

    def close(self) -> None:
        if self.channel.is_open:
            self.channel.close()

    def _closed(self, _channel: Any, reason: Exception) -> None:
        self.lost = reason if isinstance(reason, Exception) else ChannelLost(str(reason))
        waiting, self._waiting = self._waiting, set()
        for result in waiting:
            result.errback(self.lost)


def code(error: BaseException) -> int | None:
    """The AMQP reply code with which the broker closed the channel; None for any other reason."""
    return error.reply_code if isinstance(error, ChannelClosedByBroker) else None


@defer.inlineCallbacks
def declare_exchanges(protocol: Any) -> Any:
    """All exchanges of the topology. Raises `QueueMismatch` for one that exists with another type."""
    calls = Calls((yield protocol.open_channel()))
    for exchange in EXCHANGES:
        try:
            yield calls.call(
                "exchange_declare", exchange=exchange.name, exchange_type=exchange.type.value, durable=True
            )
        except ChannelClosedByBroker as error:
            if code(error) == PRECONDITION_FAILED:
                raise QueueMismatch(explain_mismatch(error.reply_text)) from None
            raise
    calls.close()


@defer.inlineCallbacks
def declare_queue(protocol: Any, queue: Queue) -> Any:
    """Declare and bind one queue; fires with None, or with a `QueueMismatch` when it exists with other arguments.

    A queue that differs is bound and used as it is: a wrong limit must not stop all builds. The caller says so aloud.
    """
    mismatch = None
    calls = Calls((yield protocol.open_channel()))
    try:
        yield calls.call("queue_declare", queue=queue.name, durable=True, arguments=dict(queue.arguments))
    except ChannelClosedByBroker as error:
        if code(error) != PRECONDITION_FAILED:
            raise
        mismatch = QueueMismatch(explain_mismatch(error.reply_text))
        calls = Calls((yield protocol.open_channel()))
    for exchange, key in queue.bindings:
        yield calls.call("queue_bind", queue=queue.name, exchange=exchange, routing_key=key)
    calls.close()
    return mismatch
