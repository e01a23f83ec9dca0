"""What the broker refuses, and in which words: the bridge and the agents turn them into messages for people."""

from __future__ import annotations

from collections.abc import Callable

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker, NackError

from tests.broker.topology.waiting import wait_for

pytestmark = pytest.mark.brokers

Connect = Callable[..., BlockingChannel]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"x-max-length-bytes": 1000}),
        ({"x-dead-letter-exchange": "bb.parked"}, {}),
        ({"x-max-length-bytes": 1000}, {"x-max-length-bytes": 2000}),
        ({"x-queue-type": "classic"}, {"x-queue-type": "quorum"}),
    ],
    ids=["added", "removed", "changed", "type"],
)
def test_a_queue_with_other_arguments_answers_406_and_names_the_first_that_differs(
    connect: Connect, before: dict[str, object], after: dict[str, object]
) -> None:
    """`inequivalent arg 'x-…' for queue '…' in vhost '…': received … but current is …`"""
    connect().queue_declare("cap.a", durable=True, arguments=before)
    with pytest.raises(ChannelClosedByBroker) as refused:
        connect().queue_declare("cap.a", durable=True, arguments=after)
    assert refused.value.reply_code == 406
    (name,) = before.keys() | after.keys()
    assert f"inequivalent arg '{name}' for queue 'cap.a'" in refused.value.reply_text
    assert "but current is" in refused.value.reply_text


def test_a_queue_that_is_not_there_answers_404(connect: Connect) -> None:
    """An agent that starts before any master meets it, and must wait instead of dying of it."""
    with pytest.raises(ChannelClosedByBroker) as refused:
        connect().basic_consume("cap.none", lambda *_: None)
    assert refused.value.reply_code == 404


def test_a_second_exclusive_consumer_is_refused_until_the_first_is_gone(connect: Connect) -> None:
    """Rule 4: two masters of one name are told apart by the exclusive consumer of `claims.<master>`."""
    first = connect()
    first.queue_declare("claims.m", durable=True)
    first.basic_consume("claims.m", lambda *_: None, exclusive=True)
    with pytest.raises(ChannelClosedByBroker) as refused:
        connect().basic_consume("claims.m", lambda *_: None, exclusive=True)
    assert refused.value.reply_code == 403
    assert "in exclusive use" in refused.value.reply_text

    first.connection.close()
    connect().basic_consume("claims.m", lambda *_: None, exclusive=True)


def accepts(channel: BlockingChannel) -> bool:
    """Publish an event of 400 bytes; False when the broker rejects it."""
    try:
        channel.basic_publish("bb.replies", "user.m.events", bytes(400))
    except NackError:
        return False
    return True


def test_a_full_events_queue_nacks_and_takes_more_once_it_was_read(connect: Connect) -> None:
    """`overflow=reject-publish` through a topic exchange: the publisher hears of it, nothing is dropped silently."""
    channel = connect()
    channel.confirm_delivery()
    channel.exchange_declare("bb.replies", "topic", durable=True)
    arguments = {"x-max-length-bytes": 1000, "x-overflow": "reject-publish"}
    channel.queue_declare("events.m", durable=True, arguments=arguments)
    channel.queue_bind("events.m", "bb.replies", "*.m.events")
    accepted = 0
    while accepts(channel):
        accepted += 1
        assert accepted < 10, "a queue bounded to 1000 bytes took 10 events of 400"
    assert channel.queue_declare("events.m", passive=True).method.message_count == accepted >= 2

    for _ in range(accepted):
        channel.basic_get("events.m", auto_ack=True)
    wait_for(lambda: accepts(channel), "the queue to accept an event again")
    wait_for(
        lambda: channel.queue_declare("events.m", passive=True).method.message_count == 1, "the event to be queued"
    )


def test_an_argument_that_is_not_taken_answers_406_and_leaves_nothing(connect: Connect) -> None:
    """The other meaning: `invalid arg '…' for queue '…'`, and the queue is not there."""
    with pytest.raises(ChannelClosedByBroker) as refused:
        connect().queue_declare("cap.a", durable=True, arguments={"x-queue-type": "quorum", "x-max-priority": 10})
    assert refused.value.reply_code == 406
    assert "invalid arg 'x-max-priority' for queue 'cap.a'" in refused.value.reply_text
    with pytest.raises(ChannelClosedByBroker) as missing:
        connect().queue_declare("cap.a", passive=True)
    assert missing.value.reply_code == 404


def test_an_exchange_of_another_type_answers_406(connect: Connect) -> None:
    """As for queues; asked passively the type is not looked at."""
    connect().exchange_declare("bb.control", "direct", durable=True)
    with pytest.raises(ChannelClosedByBroker) as refused:
        connect().exchange_declare("bb.control", "topic", durable=True)
    assert refused.value.reply_code == 406
    assert "inequivalent arg 'type' for exchange 'bb.control'" in refused.value.reply_text
    connect().exchange_declare("bb.control", "topic", passive=True)


def test_an_expiration_takes_an_unread_claim_away(connect: Connect) -> None:
    """Rule 19: claims carry an expiration, so a bridge that comes back reads no claim that nobody waits for."""
    channel = connect()
    channel.queue_declare("claims.m", durable=True)
    channel.confirm_delivery()  # so that both are in the queue when they are counted
    channel.basic_publish("", "claims.m", b"claim", pika.BasicProperties(expiration="50"))
    channel.basic_publish("", "claims.m", b"resume")
    wait_for(lambda: channel.queue_declare("claims.m", passive=True).method.message_count == 1, "the claim to expire")
    assert channel.basic_get("claims.m", auto_ack=True)[2] == b"resume"
