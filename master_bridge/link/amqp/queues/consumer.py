"""Consuming one queue: a channel of its own, supervised, so that one queue's trouble is not another's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pika.exceptions import ChannelClosedByBroker
from twisted.internet import defer

from contracts.rabbitmq.refusals import ACCESS_REFUSED
from contracts.trust.envelope import Envelope
from master_bridge.link.amqp.connection.channel import Calls, code
from master_bridge.link.carried import Delivered


class Consumer:
    """Consumes `queue`; `on_broken(reason)` is called once when it no longer does, though the connection may be up."""

    def __init__(
        self,
        protocol: Any,
        queue: str,
        on_message: Callable[[Delivered], None],
        on_broken: Callable[[str], None],
        *,
        prefetch: int = 0,
        exclusive: bool = False,
        auto_ack: bool = False,
    ) -> None:
        self._protocol = protocol
        self._queue = queue
        self._on_message = on_message
        self._on_broken: Callable[[str], None] | None = on_broken
        self._prefetch = prefetch
        self._exclusive = exclusive
        self._auto_ack = auto_ack

    @defer.inlineCallbacks
    def start(self) -> Any:
        """Fires True at consume-ok, False when another consumer has the queue for itself (403)."""
        channel = yield self._protocol.open_channel()
        calls = Calls(channel)
        if self._prefetch:
            yield calls.call("basic_qos", prefetch_count=self._prefetch)
        try:
            yield calls.call(
                "basic_consume",
                queue=self._queue,
                on_message_callback=self._delivered,
                exclusive=self._exclusive,
                auto_ack=self._auto_ack,
            )
        except ChannelClosedByBroker as error:
            if code(error) == ACCESS_REFUSED and "exclusive" in error.reply_text:
                return False
            raise
        channel.add_on_close_callback(lambda _channel, reason: self._broken(str(reason)))
        # sent when the queue is deleted, and by RabbitMQ 4.3 at a consumer timeout
        channel.add_on_cancel_callback(lambda _frame: self._broken("the broker cancelled the consumer"))
        return True

    def _broken(self, reason: str) -> None:
        callback, self._on_broken = self._on_broken, None
        if callback is not None:
            callback(reason)

    def _delivered(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self._on_message(
            Delivered(
                body=body,
                headers=properties.headers or {},
                envelope=Envelope.of(
                    exchange=method.exchange,
                    routing_key=method.routing_key,
                    user_id=properties.user_id,
                    headers=properties.headers,
                ),
                queue=self._queue,
                ack=partial(_ack, channel, method.delivery_tag),
            )
        )


def _ack(channel: Any, tag: int) -> None:
    """Void when its channel is gone: the broker has taken the delivery back then."""
    if channel.is_open:
        channel.basic_ack(tag)
