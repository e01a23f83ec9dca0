"""Looking at what waits in a queue without taking it."""

from __future__ import annotations

from typing import Any

from twisted.internet import defer

from master_bridge.link.amqp.queues.getting import Getter

#: (routing key, properties, body)
Seen = tuple[str, Any, bytes]


@defer.inlineCallbacks
def peek(channel: Any, queue: str, limit: int) -> Any:
    """Fires with the `Seen` of the first `limit` messages, which go back in their order, and how many more wait.

    The channel is closed at the end.
    """
    getter = Getter(channel, queue)
    found: list[Seen] = []
    more = 0
    try:
        while len(found) < limit:
            got = yield getter.get()
            if got is None:
                break
            method, properties, body = got
            found.append((method.routing_key, properties, body))
            more = method.message_count
        if found:
            channel.basic_nack(0, multiple=True, requeue=True)
    finally:
        if channel.is_open:
            channel.close()
    return found, more
