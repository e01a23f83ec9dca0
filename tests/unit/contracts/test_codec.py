"""What AMQP carries, to messages and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.codec import DATA_TYPE, HEADER, JSON_TYPE, decode, encode
from contracts.errors import BadMessage, UnknownVersion
from contracts.messages import Event, Ping
from contracts.timing import MESSAGE_MAX

PING = Ping(session="s", incarnation="i", stored=3)


def test_a_message_without_data_is_json_in_the_body() -> None:
    """Any language reads it without knowing our headers."""
    wire = encode(PING)
    assert (wire.type, wire.content_type) == ("ping", JSON_TYPE)
    assert json.loads(wire.body)["stored"] == 3
    assert decode(wire.body, wire.headers) == PING


@given(st.binary(min_size=1, max_size=100))
def test_bulk_data_is_the_untouched_body(data: bytes) -> None:
    """Any bytes arrive as they were, with the rest of the message in a header."""
    event = Event(session="s", seq=1, n=1, kind="stdout", data=data)
    wire = encode(event)
    assert (wire.content_type, wire.body) == (DATA_TYPE, data)
    assert decode(wire.body, wire.headers) == event


def test_an_event_without_data_needs_no_header() -> None:
    """An empty event is plain JSON, and comes back with empty data."""
    event = Event(session="s", seq=2, n=1, kind="completed")
    assert decode(encode(event).body) == event


@pytest.mark.parametrize(
    ("body", "headers", "says"),
    [
        (b"\xff\xfe", {}, "not JSON"),
        (b"[1]", {}, "JSON list where an object"),
        (b"{}", {}, "discriminator"),
        (b'{"t": "nonsense"}', {}, "nonsense"),
        (b'{"t": "ping", "session": "s"}', {}, "ping.incarnation"),
        (b"x", {HEADER: 7}, "header 'bb' is int"),
        (b"x", {HEADER: PING.model_dump_json()}, "ping: carries bulk data"),
        (b"[" * 100_000, {}, "not JSON"),
        (b" " * (MESSAGE_MAX + 1), {}, "more than the"),
    ],
)
def test_what_is_not_of_the_protocol_is_refused_with_its_reason(
    body: bytes, headers: dict[str, Any], says: str
) -> None:
    """The reason names the field or the fault; it goes into a header of `bb.dead`."""
    with pytest.raises(BadMessage, match=says):
        decode(body, headers)


@pytest.mark.parametrize("version", [2, 2**31])
def test_another_version_is_refused_with_both_versions_named(version: object) -> None:
    """Version 2 of a peer is not a malformed message: it says so."""
    with pytest.raises(UnknownVersion, match=r"this program speaks 1$"):
        decode(json.dumps({**PING.model_dump(), "v": version}).encode())


@pytest.mark.parametrize("version", [0, -1, "1", None, True, 1.5, [], "x" * 10_000])
def test_what_is_no_version_is_a_broken_message(version: object) -> None:
    """Nobody will ever speak it, so no offer waits for somebody who does."""
    with pytest.raises(BadMessage, match="is no version of the protocol") as refused:
        decode(json.dumps({**PING.model_dump(), "v": version}).encode())
    assert not isinstance(refused.value, UnknownVersion)
    assert len(str(refused.value)) < 100


def test_unknown_fields_are_ignored() -> None:
    """A newer peer may say more."""
    assert decode(json.dumps({**PING.model_dump(), "news": 1}).encode()) == PING


def test_data_smuggled_into_the_json_is_ignored() -> None:
    """Bulk data never comes from the JSON."""
    text = json.dumps({"v": 1, "t": "event", "session": "s", "seq": 1, "n": 1, "kind": "stdout", "data": "aGk="})
    assert decode(text.encode()) == Event(session="s", seq=1, n=1, kind="stdout", data=b"")
