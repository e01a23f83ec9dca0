"""The table of queue arguments, read from outside: what each version is sent, and what it never is."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from contracts.rabbitmq.arguments import EVENTS_MAX_BYTES, HELD, Kind, QueueType, arguments
from contracts.rabbitmq.product import parse_version

VERSIONS = (
    "",
    "3.10.8",
    "3.11.28",
    "3.12.0",
    "3.13.7",
    "4.0.5",
    "4.1.0-rc.2",
    "4.2.9",
    "4.3.0",
    "4.3.6",
    "4.4.0",
    "5.0",
)


def sent(kind: Kind, version: str, queue_type: QueueType = "classic") -> dict[str, Any]:
    return arguments(kind, version=parse_version(version), queue_type=queue_type)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("queue_type", get_args(QueueType))
@pytest.mark.parametrize("kind", Kind)
def test_what_a_type_refuses_is_not_sent(version: str, queue_type: QueueType, kind: Kind) -> None:
    """No version is sent what makes it refuse the queue, and each queue says its type."""
    found = sent(kind, version, queue_type)
    always_classic = kind in (Kind.CONTROL, Kind.FLEET, Kind.REPLIES)
    assert found["x-queue-type"] == ("classic" if always_classic else queue_type)
    classic = found["x-queue-type"] == "classic"
    assert not (classic and "x-delivery-limit" in found)
    assert not (not classic and "x-max-priority" in found)
    assert not (classic and parse_version(version) >= (4, 3) and "x-consumer-timeout" in found)


@pytest.mark.parametrize("kind", sorted(HELD, key=str))
def test_what_is_held_for_hours_asks_for_its_time(kind: Kind) -> None:
    """From 3.12 on; in classic queues up to 4.2, after which they have no timeout."""
    for queue_type, versions in (("classic", ("3.12.0", "4.2.9")), ("quorum", ("3.12.0", "4.0.5", "4.3.6"))):
        for version in versions:
            assert sent(kind, version, queue_type)["x-consumer-timeout"] > 24 * 3600 * 1000  # type: ignore[arg-type]
    assert "x-consumer-timeout" not in sent(kind, "3.11.28")


def test_an_offer_queue_of_each_type() -> None:
    """In full, for one version each."""
    dead = {"x-dead-letter-exchange": "bb.parked"}
    assert sent(Kind.OFFERS, "3.10.8") == {"x-queue-type": "classic", "x-max-priority": 10, **dead}
    assert sent(Kind.OFFERS, "4.3.6") == {"x-queue-type": "classic", "x-max-priority": 10, **dead}
    assert sent(Kind.OFFERS, "3.10.8", "quorum") == {"x-queue-type": "quorum", **dead}
    assert sent(Kind.OFFERS, "4.3.6", "quorum") == {
        "x-queue-type": "quorum", "x-delivery-limit": -1, "x-consumer-timeout": 30 * 24 * 3600 * 1000, **dead,
    }  # fmt: skip


def test_a_setting_is_sent_as_it_is_set() -> None:
    """`events_max_bytes`, whose default is the table's."""
    assert sent(Kind.EVENTS, "4.3.6")["x-max-length-bytes"] == EVENTS_MAX_BYTES
    assert arguments(Kind.EVENTS, version=(), events_max_bytes=5)["x-max-length-bytes"] == 5
