"""Deferreds around single calls of a plain pika channel: each fires with the answer, or fails with the channel."""

from __future__ import annotations

from typing import Any

from pika.exceptions import ChannelClosedByBroker
from twisted.internet import defer

from master_bridge.link.errors import ChannelLost


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
