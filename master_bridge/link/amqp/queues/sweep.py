"""Taking stale offers out of a queue in which nobody asks for them (AMQP has no "delete this message")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import defer

from contracts.codec import decode
from contracts.errors import BadMessage
from contracts.messages import Offer
from master_bridge.link.amqp.queues.getting import Getter

#: Offers looked at in one sweep: stale ones are old, hence in front. Other masters' offers that wait in the queue are
#: out of agents' reach meanwhile, and come back marked as redelivered. Past it a stale offer stays until it is claimed.
LIMIT = 100


@defer.inlineCallbacks
def sweep(channel: Any, queue: str, stale: Callable[[Offer], bool]) -> Any:
    """Get what is ready in `queue`, acknowledge what `stale` names, give the rest back.

    Fires with the number of offers taken out. The channel is closed at the end, which gives back what is still held.
    """
    getter = Getter(channel, queue)
    taken = 0
    held = 0
    try:
        for _ in range(LIMIT):
            got = yield getter.get()
            if got is None:
                break
            method, properties, body = got
            tag = method.delivery_tag
            if _is_stale(body, properties.headers or {}, stale):
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
