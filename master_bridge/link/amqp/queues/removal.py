"""Deleting a queue that has no message in it. Not by `if-empty`: quorum queues refuse it (3.10 to 4.x)."""

from __future__ import annotations

from typing import Any

from twisted.internet import defer

from contracts.rabbitmq.refusals import NOT_FOUND
from master_bridge.link.amqp.connection.channel import Calls, code


@defer.inlineCallbacks
def delete_empty(channel: Any, queue: str) -> Any:
    """Fires with True when `queue` is gone, False when it has work in it.

    An offer that is published between the look and the deletion comes back to its bridge as unroutable, which
    declares the queue and publishes it again.
    """
    calls = Calls(channel)
    try:
        answer = yield calls.call("queue_declare", queue=queue, passive=True)
        if answer.method.message_count:
            return False
        yield calls.call("queue_delete", queue=queue)
        return True
    except Exception as error:
        if code(error) == NOT_FOUND:
            return True
        raise
    finally:
        calls.close()
