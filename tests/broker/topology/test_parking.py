"""Offers whose master is silent wait in `parked` and come back to their own queue."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from contracts.topology import EXCHANGES, OFFERS, PARKED, PARKED_QUEUE, cap_queue
from tests.broker.topology.waiting import wait_for

pytestmark = pytest.mark.brokers

Connect = Callable[..., BlockingChannel]
QUEUE = cap_queue("gtk>=3")


@pytest.fixture
def parking(connect: Connect) -> BlockingChannel:
    """The design's exchanges, one offer queue and a parking place that keeps offers for 0.1 s."""
    channel = connect()
    for exchange in EXCHANGES:
        channel.exchange_declare(exchange.name, exchange.type.value, durable=True)
    channel.queue_declare(
        PARKED_QUEUE, durable=True, arguments={"x-message-ttl": 100, "x-dead-letter-exchange": OFFERS}
    )
    channel.queue_bind(PARKED_QUEUE, PARKED)
    channel.queue_declare(QUEUE, durable=True, arguments={"x-dead-letter-exchange": PARKED})
    channel.queue_bind(QUEUE, OFFERS, QUEUE)
    return channel


def test_a_rejected_offer_comes_back_through_parked(parking: BlockingChannel) -> None:
    """It returns to the queue it was taken from: dead-lettering keeps the routing key."""
    parking.basic_publish(OFFERS, QUEUE, b"offer")
    wait_for(lambda: parking.queue_declare(QUEUE, passive=True).method.message_count, "the offer")
    method, _, _ = parking.basic_get(QUEUE)
    parking.basic_reject(method.delivery_tag, requeue=False)
    back: list[bytes] = []
    parking.basic_consume(QUEUE, lambda _c, _m, _p, body: back.append(body), auto_ack=True)
    wait_for(lambda: back, "the offer to come back", channel=parking)
    assert back == [b"offer"]


def test_a_parked_offer_is_known_by_x_death_alone(parking: BlockingChannel) -> None:
    """It is not marked redelivered, so an agent that wants a first delivery must look at `x-death` too (rule 15)."""
    parking.basic_publish(OFFERS, QUEUE, b"offer")
    wait_for(lambda: parking.queue_declare(QUEUE, passive=True).method.message_count, "the offer")
    method, _, _ = parking.basic_get(QUEUE)
    parking.basic_reject(method.delivery_tag, requeue=False)
    seen: list[tuple[bool, list[dict[str, object]]]] = []
    parking.basic_consume(
        QUEUE,
        lambda _c, method, properties, _b: seen.append((method.redelivered, properties.headers["x-death"])),
        auto_ack=True,
    )
    wait_for(lambda: seen, "the offer to come back", channel=parking)
    redelivered, deaths = seen[0]
    assert not redelivered
    assert {(death["queue"], death["reason"], death["count"]) for death in deaths} == {
        (QUEUE, "rejected", 1),
        (PARKED_QUEUE, "expired", 1),
    }


def test_an_offer_can_be_parked_more_than_once(parking: BlockingChannel) -> None:
    """The broker's guard against dead-letter cycles spares messages that a consumer rejected."""
    seen: list[bytes] = []

    def reject_twice(_channel: object, method: object, _properties: object, body: bytes) -> None:
        seen.append(body)
        if len(seen) <= 2:
            parking.basic_reject(method.delivery_tag, requeue=False)  # type: ignore[attr-defined]
        else:
            parking.basic_ack(method.delivery_tag)  # type: ignore[attr-defined]

    parking.basic_publish(OFFERS, QUEUE, b"offer")
    parking.basic_consume(QUEUE, reject_twice)
    wait_for(lambda: len(seen) == 3, "the offer for the third time", channel=parking)


def test_a_parked_offer_goes_behind_the_others(parking: BlockingChannel) -> None:
    """Parking costs an offer its place in the queue, which the documentation says."""
    parking.basic_publish(OFFERS, QUEUE, b"parked")
    wait_for(lambda: parking.queue_declare(QUEUE, passive=True).method.message_count, "the offer")
    method, _, _ = parking.basic_get(QUEUE)
    parking.basic_publish(OFFERS, QUEUE, b"younger")
    parking.basic_reject(method.delivery_tag, requeue=False)
    wait_for(lambda: parking.queue_declare(QUEUE, passive=True).method.message_count == 2, "both offers")
    assert [parking.basic_get(QUEUE, auto_ack=True)[2] for _ in range(2)] == [b"younger", b"parked"]
