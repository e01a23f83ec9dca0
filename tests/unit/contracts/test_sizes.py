"""What a writer sends, its reader takes: sizes are checked where messages are made."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contracts import messages as m
from contracts.codec import HEADER, decode, encode
from contracts.errors import BadMessage, TooLarge
from contracts.timing import (
    COMMAND_MAX,
    EVENT_DATA_MAX,
    HEADER_MAX,
    LOG_NAME_MAX,
    MESSAGE_MAX,
    TEXT_MAX,
    TITLE_MAX,
)
from contracts.vectors.generate import MESSAGES


def test_what_is_too_large_to_be_read_cannot_be_written() -> None:
    """The error names the kind of message, its size and the limit."""
    start = m.Start(session="s", incarnation="i", command=command({"command": "y" * MESSAGE_MAX}))
    with pytest.raises(TooLarge, match=rf"start: \d{{7}} bytes .* {MESSAGE_MAX}"):
        encode(start)


def test_what_is_as_large_as_may_be_is_written_and_read() -> None:
    """A command of the largest size fits into a start and into an offer, whatever else is in them."""
    args = {"command": "y" * (COMMAND_MAX - len(command({"command": ""}).model_dump_json()))}
    offer = m.Offer(
        offer="o" * 64, request="\x01" * 200, master="m" * 128, user="u" * 255, ticket="t" * 200, run=1,
        signature="\x01" * 240, kind="command", published=1.0, builddir="\x01" * 255, title="\x01" * TITLE_MAX,
        commands=(command(args),),
    )  # fmt: skip
    for message in (m.Start(session="s" * 64, incarnation="i" * 64, command=command(args)), offer):
        wire = encode(message)
        assert decode(wire.body, wire.headers) == message


def test_a_header_fits_into_a_frame() -> None:
    """AMQP divides bodies, not headers: the JSON beside bulk data is a header's."""
    wire = encode(event(kind="log", value="l" * (LOG_NAME_MAX - 2), data=b"x"))
    assert decode(wire.body, wire.headers)
    with pytest.raises(TooLarge, match=f"event: .* {HEADER_MAX}"):
        encode(event(kind="log", value="l" * HEADER_MAX, data=b"x"))
    with pytest.raises(BadMessage, match=str(HEADER_MAX)):
        decode(b"x", {HEADER: json.dumps({"t": "event", "value": "l" * HEADER_MAX})})


@pytest.mark.parametrize("message", list(MESSAGES.values()), ids=list(MESSAGES))
def test_text_for_people_makes_no_message_too_large(message: m.Message) -> None:
    """Reasons, details and titles come from libraries, from users, from other programs: they are cut."""
    texts = ("reason", "detail", "title", "interrupted", "infrastructure")
    long = "\x01" * MESSAGE_MAX
    fields: dict[str, Any] = {name: long for name in texts if name in type(message).model_fields}
    if isinstance(message, m.Gone):
        del fields["reason"]  # one of a few words
    if "reasons" in type(message).model_fields:
        fields["reasons"] = (long,)
    grown = type(message)(**{**message.model_dump(), **fields, "data": getattr(message, "data", b"")})

    if not getattr(grown, "data", b""):
        encode(grown)
    for name in fields:
        value = getattr(grown, name)
        text = value[0] if isinstance(value, tuple) else value
        assert len(text) <= TEXT_MAX
        assert text.endswith(" …")


def test_short_text_is_left_as_it_is() -> None:
    """Nothing is added to what fits."""
    reason = "é" * TEXT_MAX
    assert m.Interrupt(session="s", incarnation="i", n=1, reason=reason).reason == reason


def command(args: dict[str, Any]) -> m.Command:
    return m.Command(n=1, name="shell", args=args, digest="d" * 64)


def event(**fields: Any) -> m.Event:
    assert len(fields["data"]) <= EVENT_DATA_MAX
    return m.Event(session="s" * 64, seq=2**53 - 1, n=2**53 - 1, **fields)
