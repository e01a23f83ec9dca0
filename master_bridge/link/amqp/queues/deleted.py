"""What a call needs may be deleted by somebody a moment before: then it is made again, and the call as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pika.exceptions import ChannelClosedByBroker
from twisted.internet import defer

from contracts.rabbitmq.refusals import NOT_FOUND
from master_bridge.link.amqp.connection.channel import code

#: How often in a row. Each time means that somebody deleted something since the time before, or that the broker has
#: it and cannot reach it (a queue whose node is down), which must not be asked for ever.
TRIES = 5


@defer.inlineCallbacks
def unless_deleted(attempt: Callable[[], defer.Deferred[Any]], anew: Callable[[], defer.Deferred[Any]]) -> Any:
    """Fires with what `attempt()` does; after a 404 of the broker, `anew()` and once more, `TRIES` times in all.

    `attempt` needs a channel that is open: the 404 closed the one before. Raises what both raise.
    """
    for _ in range(TRIES - 1):
        try:
            return (yield attempt())
        except ChannelClosedByBroker as error:
            if code(error) != NOT_FOUND:
                raise
        yield anew()
    return (yield attempt())
