"""What the link is made of, without a broker: URLs, declarations, mismatches, waiting between tries."""

from __future__ import annotations

import pytest

from master_bridge.link.amqp.queues.declarations import bridge_queues
from master_bridge.link.backoff import CAP, FLOOR, Backoff
from master_bridge.link.errors import BadSettings
from master_bridge.link.settings import LinkSettings, parse_url


def test_url_parts() -> None:
    """Defaults are AMQP's; what is percent-encoded is decoded; TLS has its own port."""
    address = parse_url("amqps://u%40x:p%2Fw@broker.example.org/v%2Fh")
    assert (address.user, address.password, address.vhost, address.port) == ("u@x", "p/w", "v/h", 5671)
    plain = parse_url("amqp://localhost")
    assert (plain.user, plain.vhost, plain.port, plain.secure) == ("guest", "/", 5672, False)


@pytest.mark.parametrize("url", ["http://h", "amqp://", "amqp://u:sesame@h:port", "amqp://u:sesame@h/a/b", ""])
def test_a_wrong_url_is_refused_without_its_password(url: str) -> None:
    """The message names the argument, never the URL."""
    with pytest.raises(BadSettings, match=r"^url: ") as caught:
        parse_url(url)
    assert "sesame" not in str(caught.value)


def test_the_password_is_never_shown() -> None:
    """Not by repr, not by str."""
    settings = LinkSettings(url="amqp://u:sesame@h", master="m1")
    assert "sesame" not in f"{settings} {settings.address} {settings.address!r}"


def test_a_master_name_is_one_word() -> None:
    """It is part of routing keys."""
    with pytest.raises(BadSettings, match="master"):
        LinkSettings(url="amqp://h", master="a.b")


def test_the_bridges_queues_are_bounded() -> None:
    """Claims and events reject what is too much, the dead are bounded by number, the parked come back by themselves."""
    queues = {
        queue.name: queue.arguments
        for queue in bridge_queues("m1", version=(3, 10), queue_type="classic", events_max_bytes=5)
    }
    assert queues["events.m1"]["x-max-length-bytes"] == 5
    assert queues["claims.m1"]["x-max-length-bytes"] > 10 * 2**20
    assert queues["events.m1"]["x-overflow"] == queues["claims.m1"]["x-overflow"] == "reject-publish"
    assert queues["dead"]["x-max-length"] > 0
    assert queues["parked"]["x-message-ttl"] == 10_000
    assert queues["parked"]["x-dead-letter-exchange"] == "bb.offers"
    assert set(queues) == {"claims.m1", "events.m1", "parked", "dead"}


def test_tries_are_capped_and_jittered() -> None:
    """Never sooner than the floor, never later than the cap, not all alike, and fast again after a success."""
    backoff = Backoff()
    waits = [backoff.next() for _ in range(40)]
    assert all(FLOOR <= wait <= CAP for wait in waits)
    assert len(set(waits)) > 5
    backoff.reset()
    assert backoff.next() <= 1.0
