"""What the documents and the compose files say of RabbitMQ is what the code knows and the tests run on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from contracts.rabbitmq.facts import FACTS, TESTED, Fact
from tests.acceptance.compose.bases import broker_images

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: f"{fact.topic} {fact.since}")
def test_the_operator_reads_what_the_doctors_say(fact: Fact) -> None:
    """A row of docs/operations.md for each."""
    text = (REPOSITORY / "docs/operations.md").read_text()
    assert f"| {fact.topic} |" in text
    assert f"| {fact.text} |" in text


def test_the_versions_that_are_tested_are_named() -> None:
    """Where people look for them."""
    text = (REPOSITORY / "docs/operations.md").read_text()
    for version in TESTED:
        assert version in text


def test_images_are_of_a_version_that_was_tested() -> None:
    """A tag that moves (`rabbitmq:4`) is another broker tomorrow."""
    images = broker_images()
    assert set(images) >= {"docker-compose.yml", "examples/demo/broker.yml"}
    for file, image in images.items():
        found = re.fullmatch(r"rabbitmq:([0-9.]+)-management", image)
        assert found, f"{file}: {image}"
        assert found[1] in TESTED, f"{file}: {image}"
