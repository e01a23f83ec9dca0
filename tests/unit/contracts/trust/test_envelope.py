"""By which way a message came, and who vouches for its sender."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.errors import NotBelieved
from contracts.trust.envelope import Envelope

ADDRESS = "agent.builder7.i.n"
REPLY: dict[str, Any] = {
    "exchange": "bb.replies", "routing_key": "builder7.m1.claims", "user_id": "builder7", "headers": {"bb": "{}"}
}  # fmt: skip
CONTROL = {**REPLY, "exchange": "bb.control", "routing_key": ADDRESS, "user_id": "m1"}
STATUS = {**REPLY, "exchange": "bb.fleet", "routing_key": "status"}
DEATHS = ("x-death", "x-first-death-queue", "x-last-death-reason")


def test_what_came_straight_from_its_sender_is_believed() -> None:
    assert Envelope.of(**REPLY).of_reply() == "builder7"
    assert Envelope.of(**{**REPLY, "user_id": "a@b", "routing_key": "a:40b.m1.events"}).of_reply() == "a:40b"
    for key in (ADDRESS, "all", "tell"):
        assert Envelope.of(**{**CONTROL, "routing_key": key}).to_agent(ADDRESS) == "m1"
    assert Envelope.of(**STATUS).to_fleet("status") == "builder7"


def check(fields: dict[str, Any]) -> str:
    envelope = Envelope.of(**fields)
    if fields["exchange"] == "bb.control":
        return envelope.to_agent(ADDRESS)
    return envelope.to_fleet("status") if fields["exchange"] == "bb.fleet" else envelope.of_reply()


@pytest.mark.parametrize("right", [REPLY, CONTROL, STATUS], ids=["reply", "control", "fleet"])
@pytest.mark.parametrize("name", DEATHS)
def test_what_was_dead_lettered_on_its_way_is_not(right: dict[str, Any], name: str) -> None:
    """Its routing key is whatever the owner of some queue wanted."""
    with pytest.raises(NotBelieved, match="dead-lettered"):
        check({**right, "headers": {name: []}})


@pytest.mark.parametrize("right", [REPLY, CONTROL, STATUS], ids=["reply", "control", "fleet"])
@pytest.mark.parametrize("user_id", [None, ""])
def test_what_nobody_vouches_for_is_not(right: dict[str, Any], user_id: str | None) -> None:
    with pytest.raises(NotBelieved, match="user_id"):
        check({**right, "user_id": user_id})


@pytest.mark.parametrize("user_id", ["builder8", "BUILDER7", "builder7 ", "m1"])
def test_a_reply_under_another_s_key_is_not(user_id: str) -> None:
    with pytest.raises(NotBelieved, match="routing key of user builder7"):
        check({**REPLY, "user_id": user_id})


@pytest.mark.parametrize("key", ["", "builder7", "builder7.m1", "builder7.m1.claims.more", "agent.x.y.z", None])
def test_a_reply_under_a_key_that_is_none_is_not(key: str | None) -> None:
    with pytest.raises(NotBelieved):
        check({**REPLY, "routing_key": key})


@pytest.mark.parametrize("key", ["catalogue", "agent.builder8.i.n", "all.x", "", None])
def test_what_is_addressed_to_somebody_else_is_not(key: str | None) -> None:
    """A header `CC` brings a message into queues that its routing key does not name."""
    with pytest.raises(NotBelieved):
        Envelope.of(**{**CONTROL, "routing_key": key}).to_agent(ADDRESS)
    with pytest.raises(NotBelieved):
        Envelope.of(**{**STATUS, "routing_key": key}).to_fleet("status")


@pytest.mark.parametrize("exchange", ["bb.fleet", "bb.replies", "bb.offers", "", None])
def test_what_came_another_way_is_not(exchange: str | None) -> None:
    with pytest.raises(NotBelieved):
        Envelope.of(**{**CONTROL, "exchange": exchange}).to_agent(ADDRESS)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({**REPLY, "routing_key": "a.b"}, "routing key 'a.b' is not <user>.<master>.<claims or events>"),
        ({**CONTROL, "routing_key": "a.b"}, "its routing key on bb.control is 'a.b', which is not this agent's"),
        ({**STATUS, "routing_key": "a.b"}, "it was published as 'a.b' on bb.fleet, not as 'status'"),
        ({**REPLY, "user_id": ""}, "it has no user_id: the broker does not say who sent it"),
        ({**REPLY, "headers": {"x-death": []}},
         "it was dead-lettered on its way: whose queue that was says nothing of its sender"),
    ],
)  # fmt: skip
def test_the_reason_is_told_whole(fields: dict[str, Any], says: str) -> None:
    """It stands in `dead`, where an operator looks for it."""
    with pytest.raises(NotBelieved) as told:
        check(fields)
    assert str(told.value) == says


def test_another_exchange_is_named() -> None:
    with pytest.raises(NotBelieved) as told:
        Envelope.of(**CONTROL).of_reply()
    assert str(told.value) == "it came through exchange 'bb.control', not 'bb.replies'"


def test_bytes_that_are_no_text_are_read_as_far_as_they_are() -> None:
    """pika gives bytes for what is no UTF-8."""
    assert Envelope.of(**{**REPLY, "routing_key": "caf\u00e9".encode() + b"\xff"}).routing_key == "caf\u00e9\ufffd"
