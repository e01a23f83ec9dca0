"""Where the consumers of a channel are asked to share their prefetch."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from contracts.rabbitmq.product import parse_version
from worker_agent.link.amqp.prefetch import Choice, SharedPrefetch
from worker_agent.link.options import link_options
from worker_agent.program.settings import Settings


@pytest.mark.parametrize(
    ("choice", "version", "usable"),
    [
        ("auto", "3.10.8", True),
        ("auto", "4.2.9", True),
        ("auto", "4.3.0", False),
        ("auto", "5.0.0", False),
        ("auto", "", True),
        ("always", "4.3.0", True),
        ("never", "3.10.8", False),
    ],
)
def test_versions(choice: Choice, version: str, usable: bool) -> None:
    """From 4.3 on it has to be permitted; a broker that names no version is asked."""
    assert SharedPrefetch(choice).usable(parse_version(version)) is usable


@pytest.mark.parametrize("choice", ["auto", "always"])
def test_refused_once_it_is_not_tried_again(choice: Choice) -> None:
    """Else a quorum queue would end each connection."""
    prefetch = SharedPrefetch(choice)
    prefetch.refused("NOT_IMPLEMENTED")
    assert not prefetch.usable((3, 10, 8))


@pytest.mark.parametrize(("slots", "choice"), [(1, "always"), (2, "never")])
def test_an_agent_of_several_slots_does_not_share(slots: int, choice: Choice) -> None:
    """It holds one offer and waits for the next."""
    settings = Settings(amqp_url=SecretStr("amqp://h"), slots=slots, shared_prefetch="always")
    assert link_options(settings).shared_prefetch == choice
