"""The kit's own connection to the broker, its queues, and what it publishes. Blocking, in one thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pika
from pika.exceptions import ChannelClosedByBroker, UnroutableError

from conformance.errors import QueueInUse
from contracts import topology
from contracts.codec import Wire
from contracts.rabbitmq.arguments import Kind, arguments
from contracts.rabbitmq.product import introduced

#: AMQP 0-9-1, constant `not-found`.
_NOT_FOUND = 404

#: pika's callback of a consumer: channel, method, properties, body
OnMessage = Callable[[Any, Any, Any, bytes], None]


class Broker:
    """`url`: the broker's, not the proxy's. `name` is the master's; its queues are exclusive, so they go with this."""

    def __init__(self, url: str, *, name: str, signature: str) -> None:
        self.queue = topology.cap_queue(signature)
        self._name = name
        parameters = pika.URLParameters(url)
        #: the broker user, and as it stands in offers
        self.login = parameters.credentials.username
        self.user = topology.key_word(self.login)
        parameters.client_properties = {"connection_name": f"conformance kit {name}"}
        self._connection = pika.BlockingConnection(parameters)
        #: "RabbitMQ 3.10.8"
        self.product = str(introduced(self._connection._impl.server_properties))  # not in pika's public face
        self._publisher = self._connection.channel()
        self._publisher.confirm_delivery()
        self._consumer = self._connection.channel()
        self._queues: set[str] = set()

    def declare(self, *, reply: OnMessage, parked: OnMessage, dead: OnMessage, status: OnMessage) -> None:
        """Make all exchanges and queues, and consume what agents say. Raises `QueueInUse`."""
        name, channel = self._name, self._consumer
        for exchange in topology.EXCHANGES:
            channel.exchange_declare(exchange.name, exchange.type.value, durable=True)
        # Parked offers come to us instead of back into the queue after 10 s: a scene wants to see them, and be alone.
        parking = f"{name}.parked"
        channel.exchange_declare(parking, "fanout", auto_delete=True)
        for binding in (topology.claims_binding(name), topology.events_binding(name)):
            # One queue for both here, so that the order in which they came can be seen.
            self._consume(f"replies.{name}", topology.REPLIES, binding, reply)
        self._consume(f"parked.{name}", parking, "", parked)
        self._consume(f"dead.{name}", topology.DEAD, "", dead)
        self._consume(f"fleet.{name}", topology.FLEET, topology.STATUS_KEY, status)
        self._check_unused()
        channel.queue_delete(self.queue)
        channel.queue_declare(self.queue, durable=True, arguments={"x-dead-letter-exchange": parking})
        channel.queue_bind(self.queue, topology.OFFERS, self.queue)

    def _check_unused(self) -> None:
        """Raises `QueueInUse` when somebody works with the queue that is about to be deleted."""
        channel = self._connection.channel()
        try:
            found = channel.queue_declare(self.queue, passive=True).method
        except ChannelClosedByBroker as error:
            if error.reply_code != _NOT_FOUND:
                raise
            return
        channel.close()
        if found.consumer_count or found.message_count:
            raise QueueInUse(
                f"queue {self.queue} has {found.consumer_count} consumers and {found.message_count} messages: somebody "
                "works with it, and the kit would delete it; give the kit a vhost of its own, or another --signature"
            )

    def _consume(self, queue: str, exchange: str, key: str, callback: OnMessage) -> None:
        new = queue not in self._queues
        self._queues.add(queue)
        # the type is named: a vhost's default may be quorum, which no exclusive queue can be
        self._consumer.queue_declare(queue, exclusive=True, arguments=arguments(Kind.CONTROL, version=()))
        self._consumer.queue_bind(queue, exchange, key)
        if new:
            self._consumer.basic_consume(queue, callback, auto_ack=True)

    def process(self, seconds: float) -> None:
        """Let messages in; returns after so many seconds at the latest."""
        self._connection.process_data_events(time_limit=seconds)

    def publish(
        self, wire: Wire, exchange: str, key: str, *, user_id: str | None = "", headers: Mapping[str, Any] | None = None
    ) -> bool:
        """False when no queue took it. `user_id` None: without one, "": its own; `headers`: more than it has."""
        properties = pika.BasicProperties(
            type=wire.type,
            content_type=wire.content_type,
            headers={**wire.headers, **(headers or {})} or None,
            delivery_mode=2,
            user_id=self.login if user_id == "" else user_id,
        )
        try:
            self._publisher.basic_publish(exchange, key, wire.body, properties, mandatory=exchange != topology.FLEET)
        except UnroutableError:
            return False
        return True

    def waiting(self) -> int:
        """Offers in the queue that nobody holds."""
        return int(self._consumer.queue_declare(self.queue, passive=True).method.message_count)

    def consumers(self) -> int:
        """Agents that consume the queue."""
        return int(self._consumer.queue_declare(self.queue, passive=True).method.consumer_count)

    def purge(self) -> None:
        """Nothing waits in the queue then."""
        self._consumer.queue_purge(self.queue)

    def close(self) -> None:
        """With the queue of offers, which is durable."""
        if self._connection.is_open:
            self._consumer.queue_delete(self.queue)
            self._connection.close()
