"""`basic.get` as Deferreds."""

from __future__ import annotations

from typing import Any

from pika import spec
from twisted.internet import defer

from master_bridge.link.errors import ChannelLost


class Getter:
    """basic.get on one channel as Deferreds: (method, properties, body), or None when the queue is empty."""

    def __init__(self, channel: Any, queue: str) -> None:
        self._channel = channel
        self._queue = queue
        self._waiting: defer.Deferred[Any] | None = None
        channel.add_callback(lambda _frame: self._answer(None), [spec.Basic.GetEmpty], False)
        channel.add_on_close_callback(lambda _channel, reason: self._answer(ChannelLost(str(reason))))

    def get(self) -> defer.Deferred[Any]:
        """Fires with the next message, or None where there is none. Fails with `ChannelLost`."""
        if not self._channel.is_open:
            return defer.fail(ChannelLost("the channel is closed"))
        waiting = self._waiting = defer.Deferred()
        self._channel.basic_get(self._queue, self._got)
        return waiting

    def _got(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self._answer((method, properties, body))

    def _answer(self, answer: Any) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and isinstance(answer, ChannelLost):
            waiting.errback(answer)
        elif waiting is not None:
            waiting.callback(answer)
