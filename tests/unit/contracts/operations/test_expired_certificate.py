"""A broker's certificate whose time is over, or has not come, on a socket with TLS."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.operations import reachability
from contracts.operations.broker_failure import expired_certificate
from contracts.testing.rabbitmq.ports import free_ports
from tests.harness.tls_listener import Shown, show

Show = Callable[..., Shown]


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Show]:
    made: list[Shown] = []

    def make(first: float, last: float) -> Shown:
        made.append(show(tmp_path, first, last))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize(
    ("first", "last", "says", "remedy"),
    [
        (-9, -1, "has expired (valid until {last})", "renew it"),
        (-9000, -0.001, "has expired (valid until {last})", "renew it"),
        (1, 9, "is not yet valid (valid from {first})", "set the clock of this machine"),
    ],
)
def test_a_doctor_says_since_when_and_to_renew_it(
    shown: Show, first: float, last: float, says: str, remedy: str
) -> None:
    """Not to give another CA, which would change nothing."""
    listener = shown(first, last)
    context = lambda: ssl.create_default_context(cafile=str(listener.ca))  # noqa: E731
    *_, found = reachability.reach(listener.address, context, ca="--tls-ca")
    assert found.verdict == "fail"
    assert says.format(first=listener.first, last=listener.last) in found.seen
    assert found.remedy.startswith(remedy)
    assert "--tls-ca" not in found.remedy


def test_one_with_time_left_is_another_matter(shown: Show) -> None:
    """An unknown authority, and one whose own time is over; and where nobody answers any more, nothing is added."""
    listener = shown(-9, 9)
    *_, found = reachability.reach(listener.address, ssl.create_default_context, ca="--tls-ca")
    assert "does not verify" in found.seen
    assert "--tls-ca" in found.remedy
    expired = expired_certificate(listener.address)
    assert "renew the authority's certificate" in str(reachability.looked_at(expired, listener.address, ca="--tls-ca"))
    (nobody,) = free_ports(1)
    assert reachability.looked_at(expired, replace(listener.address, port=nobody), ca="--tls-ca") == expired
