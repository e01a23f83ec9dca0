"""What a broker that is killed, short of memory or impatient does to work that is under way."""

from __future__ import annotations

from collections.abc import Callable

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker

from contracts.testing.rabbitmq.node import RabbitMQNode
from tests.broker.topology.waiting import wait_for
from tests.harness.brokers import version_of

pytestmark = pytest.mark.brokers

Connect = Callable[..., BlockingChannel]
PERSISTENT = pika.BasicProperties(delivery_mode=2)


def test_confirmed_offers_in_a_classic_queue_survive_kill_9(connect: Connect, fragile_node: RabbitMQNode) -> None:
    """Which is why a single node gets classic queues (a young quorum queue there loses all, see the design)."""
    channel = connect(fragile_node.url)
    channel.confirm_delivery()
    channel.queue_declare("cap.kill", durable=True)
    for number in range(200):
        channel.basic_publish("", "cap.kill", str(number).encode(), PERSISTENT)
    # a queue declared a moment before may be gone itself (3.10.8)
    fragile_node.ctl("eval", "catch mnesia:sync_log().")
    fragile_node.kill()
    fragile_node.restart()
    channel = connect(fragile_node.url)
    bodies = [channel.basic_get("cap.kill", auto_ack=True)[2] for _ in range(200)]
    assert bodies == [str(number).encode() for number in range(200)]


def test_a_held_offer_is_taken_back_at_the_consumer_timeout(connect: Connect, fragile_node: RabbitMQNode) -> None:
    """The offer goes to the next consumer, so a session must survive it.

    Before 4.3 the channel is closed with 406. From then on classic queues take nothing back, and quorum queues cancel
    the consumer.
    """
    holder = connect(fragile_node.url)
    cancels = version_of(fragile_node.url) >= (4, 3)
    arguments = {"x-queue-type": "quorum" if cancels else "classic"}
    holder.queue_declare("cap.timeout", durable=True, arguments=arguments)
    holder.basic_publish("", "cap.timeout", b"offer", PERSISTENT)
    held: list[bytes] = []
    cancelled: list[object] = []
    holder.add_on_cancel_callback(cancelled.append)
    holder.basic_consume("cap.timeout", lambda _c, _m, _p, body: held.append(body))
    if cancels:
        wait_for(lambda: cancelled, "the consumer to be cancelled", channel=holder)
    else:
        with pytest.raises(ChannelClosedByBroker) as closed:
            holder.start_consuming()
        assert closed.value.reply_code == 406
        assert "timeout" in closed.value.reply_text
    assert held == [b"offer"]
    taken: list[tuple[bytes, bool]] = []
    heir = connect(fragile_node.url)

    def took() -> bool:
        method, _, body = heir.basic_get("cap.timeout", auto_ack=True)
        if method is not None:
            taken.append((body, method.redelivered))
        return bool(taken)

    wait_for(took, "the offer at the next consumer")
    assert taken == [(b"offer", True)]


def test_a_memory_alarm_stops_publishers_only(connect: Connect, fragile_node: RabbitMQNode) -> None:
    """Why a bridge has two connections: one that has published is blocked, one that only consumes goes on."""
    publisher, consumer = connect(fragile_node.url), connect(fragile_node.url)
    publisher.queue_declare("cap.alarm", durable=True)
    for body in (b"1", b"2"):
        publisher.basic_publish("", "cap.alarm", body, PERSISTENT)
    wait_for(lambda: consumer.queue_declare("cap.alarm", passive=True).method.message_count == 2, "both offers")
    blocked: list[object] = []
    publisher.connection.add_on_connection_blocked_callback(lambda *_: blocked.append(1))
    publisher.connection.add_on_connection_unblocked_callback(lambda *_: blocked.clear())
    fragile_node.ctl("set_vm_memory_high_watermark", "0.00001")
    try:
        publisher.basic_publish("", "cap.alarm", b"3", PERSISTENT)
        wait_for(lambda: blocked, "the publisher to be blocked", channel=publisher)
        seen: list[bytes] = []
        consumer.basic_consume("cap.alarm", lambda _c, _m, _p, body: seen.append(body), auto_ack=True)
        wait_for(lambda: seen[:2] == [b"1", b"2"], "the consumer to be served", channel=consumer)
    finally:
        fragile_node.ctl("set_vm_memory_high_watermark", "0.4")
    wait_for(lambda: not blocked, "the publisher to be let on", channel=publisher)
    wait_for(lambda: b"3" in seen, "what was published meanwhile", channel=consumer)
