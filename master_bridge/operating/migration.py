"""Queues whose arguments are not what this version declares: made anew, with every message they hold.

Arguments of a queue cannot be changed, so its messages move to a temporary queue and back:

    temporary queue bound beside the old one -> old one unbound -> its messages moved -> old one deleted, made anew and
    bound -> temporary one unbound -> its messages moved -> temporary one deleted

Each message is confirmed in its new place before it is acknowledged in the old one, so one may be there twice, which
the protocol allows, and none is lost. What an agent holds unacknowledged would be lost with its queue: so a queue is
left alone until the management API says that nobody holds anything of it. A migration that was interrupted goes on
where it stopped when the command is called again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from pika import exceptions as amqp

from contracts import topology
from contracts.rabbitmq.arguments import QueueType
from contracts.rabbitmq.refusals import PRECONDITION_FAILED, Differs
from contracts.rabbitmq.refusals import refusal as declaration_refusal
from master_bridge.link.amqp.queues.declarations import DurableQueue, bridge_queues, offer_queue
from master_bridge.management.client import Management
from master_bridge.operating.connection import Broker
from master_bridge.operating.errors import OperatingError
from master_bridge.operating.refusals import refusal

#: The exchange over which messages are moved: nobody may need the default exchange for it.
MOVES = "bb.moves"
TEMPORARY = "migrate."
#: Seconds: the management API counts what is held once in 5 s, and may still count what was just moved.
FIGURES_AGE = 8.0


def wanted(
    management: Management, broker: Broker, queue_type: QueueType, events_max_bytes: int
) -> Iterator[DurableQueue]:
    """What this version declares, for each of our queues that is there, or was when a migration stopped."""
    for figures in management.queues(broker.address.vhost):
        name = figures.name.removeprefix(TEMPORARY)
        signature = topology.queue_signature(name)
        if signature is not None:
            yield offer_queue(signature, version=broker.product.version, queue_type=queue_type)
        elif name.startswith(("claims.", "events.")) or name in (topology.PARKED_QUEUE, topology.DEAD_QUEUE):
            master = name.partition(".")[2] or "any"
            known = bridge_queues(
                master, version=broker.product.version, queue_type=queue_type, events_max_bytes=events_max_bytes
            )
            yield next(queue for queue in known if queue.name == name)


def differs(broker: Broker, queue: DurableQueue) -> str | None:
    """How the queue differs from what we declare, for people; None: it is right, or not there.

    Raises `OperatingError` when this broker does not take the arguments at all.
    """
    if broker.queue(queue.name) is None:
        return None
    try:
        broker.channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))
    except amqp.ChannelClosedByBroker as error:
        if error.reply_code == PRECONDITION_FAILED:
            found = declaration_refusal(error.reply_code, error.reply_text)
            if isinstance(found, Differs):
                return str(found)
            raise OperatingError(str(found)) from None
        raise refusal(error, f"declare {queue.name}") from None
    return None


def migrate(broker: Broker, management: Management, queue: DurableQueue) -> int:
    """Make `queue` anew; how many messages it holds then. Raises `OperatingError` while somebody uses it."""
    temporary = TEMPORARY + queue.name
    broker.channel.exchange_declare(MOVES, "direct", durable=True)
    if broker.queue(queue.name) is not None and differs(broker, queue) is not None:
        _is_free(management, broker, queue.name)
        broker.channel.queue_declare(temporary, durable=True, arguments={"x-queue-type": "classic"})
        broker.channel.queue_bind(temporary, MOVES, temporary)
        for exchange, key in queue.bindings:
            broker.channel.queue_bind(temporary, exchange, key)
            broker.channel.queue_unbind(queue.name, exchange, key)
        _move(broker, queue.name, temporary)
        _is_free(management, broker, queue.name)
        broker.channel.queue_delete(queue.name, if_unused=True, if_empty=True)
    broker.channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))
    broker.channel.queue_bind(queue.name, MOVES, queue.name)
    for exchange, key in queue.bindings:
        broker.channel.queue_bind(queue.name, exchange, key)
    if broker.queue(temporary) is not None:
        for exchange, key in queue.bindings:
            broker.channel.queue_unbind(temporary, exchange, key)
        _move(broker, temporary, queue.name)
        broker.channel.queue_delete(temporary, if_empty=True)
    broker.channel.queue_unbind(queue.name, MOVES, queue.name)
    figures = broker.queue(queue.name)
    return figures.ready if figures is not None else 0


def _is_free(management: Management, broker: Broker, name: str) -> None:
    """Nobody consumes it, and nobody holds a message of it. Looks again while that may only have been so."""
    deadline = time.monotonic() + FIGURES_AGE
    while True:
        found: Any = management.get("queues", broker.address.vhost, name)
        figures = broker.queue(name)
        held, consumers = found.get("messages_unacknowledged", 0) if found else 0, figures.consumers if figures else 0
        if not held and not consumers:
            return
        if consumers or time.monotonic() > deadline:
            who = "stop that master" if name.startswith(("claims.", "events.")) else "`master-bridge drain --match any`"
            raise OperatingError(
                f"{name} is in use ({held} messages are held, {consumers} consumers): "
                f"{who}, wait until what runs has ended, and call this again"
            )
        broker.wait(0.5)


def _move(broker: Broker, source: str, target: str) -> int:
    """All that is ready in `source`; each confirmed in `target` before it is acknowledged. How many."""
    channel = broker.new_channel()
    moved = 0
    try:
        while True:
            method, properties, body = channel.basic_get(source)
            if method is None:
                return moved
            if not broker.publish(MOVES, target, body, properties=properties, signed=False):
                raise OperatingError(f"{target} does not take a message of {source}; it stays there")
            channel.basic_ack(method.delivery_tag)
            moved += 1
    finally:
        if channel.is_open:
            channel.close()
