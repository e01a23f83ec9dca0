"""Taking stale offers out of a queue in which nobody asks for them (AMQP has no "delete this message")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pika import spec
from twisted.internet import defer

from contracts.codec import decode
from contracts.errors import BadMessage
from contracts.messages import Offer
from master_bridge.link.errors import ChannelLost

#: Offers looked at in one sweep: stale ones are old, hence in front. Other masters' offers that wait in the queue are
#: out of agents' reach meanwhile, and come back marked as redelivered. Past it a stale offer stays until it is claimed.
LIMIT = 100


@defer.inlineCallbacks
def sweep(channel: Any, queue: str, stale: Callable[[Offer], bool]) -> Any:
    """Get what is ready in `queue`, acknowledge what `stale` names, give the rest back.

    Fires with the number of offers taken out. The channel is closed at the end, which gives back what is still held.
    """
    getter = _Getter(channel, queue)
    taken = 0
    held = 0
    try:
        for _ in range(LIMIT):
            got = yield getter.get()
            if got is None:
                break
            tag, body, headers = got
            if _is_stale(body, headers, stale):
                channel.basic_ack(tag)
                taken += 1
            else:
                held = tag
        if held:
            # A priority queue of 3.10.8 puts some of them back in another order: 1 3 5 came back as 1 5 3.
            channel.basic_nack(held, multiple=True, requeue=True)
    finally:
        if channel.is_open:
            channel.close()
    return taken


def _is_stale(body: bytes, headers: dict[str, Any], stale: Callable[[Offer], bool]) -> bool:
    try:
        message = decode(body, headers)
    except BadMessage:
        return False  # an agent will look at it, and say why it cannot be read
    return isinstance(message, Offer) and stale(message)


class _Getter:
    """basic.get on one channel as Deferreds: (tag, body, headers), or None when the queue is empty."""

    def __init__(self, channel: Any, queue: str) -> None:
        self._channel = channel
        self._queue = queue
        self._waiting: defer.Deferred[Any] | None = None
        channel.add_callback(lambda _frame: self._answer(None), [spec.Basic.GetEmpty], False)
        channel.add_on_close_callback(lambda _channel, reason: self._answer(ChannelLost(str(reason))))

    def get(self) -> defer.Deferred[Any]:
        if not self._channel.is_open:
            return defer.fail(ChannelLost("the channel is closed"))
        waiting = self._waiting = defer.Deferred()
        self._channel.basic_get(self._queue, self._got)
        return waiting

    def _got(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self._answer((method.delivery_tag, body, properties.headers or {}))

    def _answer(self, answer: Any) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and isinstance(answer, ChannelLost):
            waiting.errback(answer)
        elif waiting is not None:
            waiting.callback(answer)
