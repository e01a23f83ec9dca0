"""Which broker answers, and what is told of it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from contracts.operations.findings import broker_version
from contracts.rabbitmq.facts import FACTS, TESTED, facts
from contracts.rabbitmq.product import Product, introduced, parse_version


@pytest.mark.parametrize(
    ("properties", "text", "version"),
    [
        ({"product": "RabbitMQ", "version": "3.10.8"}, "RabbitMQ 3.10.8", (3, 10, 8)),
        ({b"product": b"RabbitMQ", b"version": b"4.3.0-rc.1"}, "RabbitMQ 4.3.0-rc.1", (4, 3, 0)),
        ({"product": b"RabbitMQ", "capabilities": {"basic.nack": True}}, "RabbitMQ", ()),
        ({"version": b"\xff"}, "\ufffd", ()),
        ({"version": 4}, "4", (4,)),
        ({}, "", ()),
        (None, "", ()),
    ],
)
def test_introductions(properties: dict[Any, Any] | None, text: str, version: tuple[int, ...]) -> None:
    """Whatever a broker says of itself: texts, bytes, nothing."""
    assert (str(introduced(properties)), introduced(properties).version) == (text, version)


@pytest.mark.parametrize(
    ("version", "verdict"),
    [("3.9.29", "fail"), ("3.10.8", "pass"), ("3.13.7", "pass"), ("4.2.1", "pass"), ("4.3.6", "pass"),
     ("4.4.0", "warn"), ("5.0.0", "warn"), ("", "warn"), ("yes", "warn")],
)  # fmt: skip
def test_verdicts(version: str, verdict: str) -> None:
    """What was never tried is not passed."""
    found = broker_version(Product(name="RabbitMQ", text=version))
    assert found[0].verdict == verdict
    assert bool(found[0].remedy) == (verdict != "pass")


def test_another_product() -> None:
    """LavinMQ speaks AMQP, too, and has versions of its own."""
    assert broker_version(Product(name="LavinMQ", text="4.0.0"))[0].verdict == "warn"


@pytest.mark.parametrize("version", [*TESTED, "3.13.7", "4.2.9", "4.4.0"])
def test_one_fact_of_each_topic(version: str) -> None:
    """No version falls between two rows, none has two."""
    found = [fact.topic for fact in facts(parse_version(version))]
    assert sorted(found) == sorted({fact.topic for fact in FACTS})


@pytest.mark.parametrize("topic", sorted({fact.topic for fact in FACTS}))
def test_rows_follow_each_other(topic: str) -> None:
    """In the order of versions."""
    rows = [fact for fact in FACTS if fact.topic == topic]
    assert (rows[0].since, rows[-1].before) == ((), None)
    assert all(one.before == other.since for one, other in pairwise(rows))
