"""Frames: what is packed is unpacked, what is no frame is refused in words without its values."""

from __future__ import annotations

import pytest

from contracts.frames.codec import FRAME_BODY_MAX, FRAME_HEADER_MAX, NotAFrame, Packed, pack, unpack
from contracts.frames.frames import (
    QUEUES_MAX,
    Beat,
    Carried,
    ConsumeFrom,
    Frame,
    Hello,
    LookFor,
    Offered,
    Say,
    Settle,
    Told,
    Welcome,
)

CARRIED = Carried(type="event", content_type="application/octet-stream", headers={"bb": '{"t":"event"}'})
FRAMES: list[tuple[Frame, bytes]] = [
    (Hello(user="agents", token="secret", agent="a", address="agent.agents.i.n"), b""),  # type: ignore[arg-type]  # text
    (Welcome(version=1, product="post office", silence=15.0), b""),
    (Say(number=1, to="events", key="m", message=CARRIED), b"\x00\xff bytes"),
    (ConsumeFrom(queues=("cap.gtk", "cap.python2.3"), seen=3), b""),
    (Offered(delivery=1, queue="cap.any", user="m", redelivered=True, parkings=2, message=CARRIED), b"{}"),
    (Settle(delivery=1, how="dead", reason="no offer"), b""),
    (Told(exchange="bb.control", key="all", user="m", message=CARRIED), b""),
    (Beat(), b""),
]


@pytest.mark.parametrize(("frame", "body"), FRAMES, ids=[frame.f for frame, _ in FRAMES])
def test_what_is_packed_is_unpacked(frame: Frame, body: bytes) -> None:
    packed = pack(frame, body)
    assert unpack(packed) == frame
    assert packed.body == body


def test_a_token_is_shown_to_nobody_but_the_wire() -> None:
    hello = FRAMES[0][0]
    assert "secret" not in repr(hello)
    assert "secret" not in hello.model_dump_json()
    assert b'"secret"' in pack(hello).header


@pytest.mark.parametrize(
    ("packed", "problem"),
    [
        (Packed(b"\xff"), "Invalid JSON"),
        (Packed(b"[]"), "an object"),
        (Packed(b'{"f": "nothing"}'), "does not match any of the expected tags"),
        (Packed(b'{"f": "settle", "delivery": -1, "how": "ack"}'), "delivery"),
        (Packed(b'{"f": "beat"}', b"x"), "carries no bytes"),
        (Packed(b" " * (FRAME_HEADER_MAX + 1)), "more than"),
        (Packed(b"{}", b"x" * (FRAME_BODY_MAX + 1)), "more than"),
        (Packed(b"[" * 100_000), "Invalid JSON"),
    ],
)
def test_what_is_no_frame_is_refused(packed: Packed, problem: str) -> None:
    with pytest.raises(NotAFrame, match=problem):
        unpack(packed)


def test_a_refusal_does_not_repeat_a_secret() -> None:
    with pytest.raises(NotAFrame) as raised:
        unpack(Packed(b'{"f": "hello", "user": 5, "token": "hunter2", "agent": "a", "address": "no address"}'))
    assert "hunter2" not in str(raised.value)


def test_what_a_reader_refuses_is_not_written() -> None:
    with pytest.raises(NotAFrame, match="carries no bytes"):
        pack(Beat(), b"x")
    with pytest.raises(NotAFrame, match="more than"):
        pack(FRAMES[2][0], b"x" * (FRAME_BODY_MAX + 1))
    longest = LookFor(number=1, queues=tuple(f"cap.{n:0251d}" for n in range(QUEUES_MAX)))
    assert unpack(pack(longest)) == longest, "the longest of all that a model allows fits"
