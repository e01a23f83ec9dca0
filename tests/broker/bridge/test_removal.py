"""Deleting the queue of a removed column on a real broker."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pika
import pytest

from contracts.messages import Offer
from contracts.testing.rabbitmq.node import USER
from contracts.topology import cap_queue
from tests.broker.bridge.conftest import RunningLink
from tests.harness.waiting import wait_for

pytestmark = pytest.mark.brokers


def offer(signature: str) -> Offer:
    return Offer(
        offer=uuid.uuid4().hex, request="br-1", master="m1", user=USER, ticket="t", run=1, signature=signature,
        kind="build", published=0, builddir="b",
    )  # fmt: skip


def test_an_empty_queue_is_deleted_and_one_with_work_is_not(
    make_link: Callable[..., RunningLink], channel: pika.channel.Channel
) -> None:
    """The offer that waits is still there, and an offer published later makes the deleted queue anew."""
    link = make_link()
    link.call("ensure_queues", ["empty"])
    link.call("publish_offer", offer("busy"))
    wait_for(lambda: depth(channel, "busy") == 1 and depth(channel, "empty") == 0, 60, "both queues are there")
    assert link.call("delete_empty", "empty") is True
    assert link.call("delete_empty", "busy") is False
    assert (depth(channel, "empty"), depth(channel, "busy")) == (None, 1)
    link.call("publish_offer", offer("empty"))
    wait_for(lambda: depth(channel, "empty") == 1, 60, "the queue is made anew")


def test_a_queue_that_is_gone_already_counts_as_deleted(make_link: Callable[..., RunningLink]) -> None:
    """Another master was quicker."""
    assert make_link().call("delete_empty", "nowhere") is True


def depth(channel: pika.channel.Channel, signature: str) -> int | None:
    """Messages that wait; None when there is no such queue."""
    probe = channel.connection.channel()
    try:
        answer = probe.queue_declare(cap_queue(signature), passive=True)
    except pika.exceptions.ChannelClosedByBroker:
        return None
    probe.close()
    return int(answer.method.message_count)
