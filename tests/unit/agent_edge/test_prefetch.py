"""Where the consumers of a channel are asked to share their prefetch."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from contracts.rabbitmq.product import parse_version
from worker_agent.link.amqp.prefetch import SharedPrefetch
from worker_agent.link.options import link_options
from worker_agent.program.settings import Settings


@pytest.mark.parametrize(
    ("version", "usable"), [("3.10.8", True), ("4.2.9", True), ("4.3.0", False), ("5.0.0", False), ("", True)]
)
def test_versions(version: str, usable: bool) -> None:
    """From 4.3 on it has to be permitted; a broker that names no version is asked."""
    assert SharedPrefetch().usable(parse_version(version)) is usable


def test_refused_once_it_is_not_tried_again() -> None:
    """Else a quorum queue would end each connection."""
    prefetch = SharedPrefetch()
    prefetch.refused("NOT_IMPLEMENTED")
    assert not prefetch.usable((3, 10, 8))


@pytest.mark.parametrize(("slots", "one_offer"), [(1, True), (2, False)])
def test_an_agent_of_several_slots_does_not_share(slots: int, one_offer: bool) -> None:
    """It holds one offer and waits for the next."""
    settings = Settings(amqp_url=SecretStr("amqp://h"), slots=slots)
    assert link_options(settings).one_offer is one_offer
