"""Frames on a stream: whole after any cut, readable by a shell, and bounded."""

from __future__ import annotations

import json
from random import Random

import pytest

from contracts.frames.codec import GREETING_MAX, NotAFrame, Packed, pack, unpack
from contracts.frames.frames import Beat, Carried, Say
from contracts.frames.stream import StreamParser, stream_bytes

FRAMES = [
    Packed(b'{"f":"beat"}'),
    Packed(b'{"f":"say"}', b"x"),
    Packed(b"{" + b"h" * 65_535 + b"}", b"b" * 65_535),
    Packed(b'{"text":"\xc3\xa4"}', b"0 {}\n" * 10),
    Packed(b"{}", bytes(range(256)) * 4096),
]


@pytest.mark.parametrize("seed", range(20))
def test_frames_come_whole_however_the_stream_is_cut(seed: int) -> None:
    dice = Random(seed)
    stream, parser, found = b"".join(map(stream_bytes, FRAMES)), StreamParser(), []
    while stream:
        cut = dice.choice((1, 2, 3, 1000, 70_000, 1_000_000)) if seed else 100_000_000
        parser.feed(stream[:cut])
        while (frame := parser.next_frame()) is not None:
            found.append(frame)
        stream = stream[cut:]
    assert found == FRAMES


def test_a_frame_is_a_line_and_raw_bytes() -> None:
    assert stream_bytes(pack(Beat())) == b'0 {"f":"beat"}\n'
    message = Carried(type="event", content_type="application/octet-stream", headers={"bb": '{"line":"a\\nb"}\n'})
    frame = Say(number=1, to="events", key="m", message=message)
    line, _, raw = stream_bytes(pack(frame, b"raw\n\0")).partition(b"\n")
    assert raw == b"raw\n\0"
    length, _, header = line.partition(b" ")
    assert (int(length), json.loads(header)["message"]["headers"]["bb"]) == (5, '{"line":"a\\nb"}\n')
    assert unpack(Packed(header, raw)) == frame


@pytest.mark.parametrize(
    "stream",
    [
        b"Last login: Sun Nov 29\n",
        b"Welcome",  # at once, and not when a line has come
        b"\n",
        b"0\n",
        b"-1 {}\n",
        b"01 {}\n",
        b"0  {}\n",
        b"0 {}\r\n",
        b"0 []\n",
        b"0x",
        b"1000000000 {}\n",
        b"\xff\xfe",
        b"0 {}\nmore\n",
    ],
)
def test_what_is_no_frame_is_refused_at_once(stream: bytes) -> None:
    parser = StreamParser()
    parser.feed(stream)
    with pytest.raises(NotAFrame, match="begins no frame"):
        [parser.next_frame() for _ in range(2)]


def test_what_came_instead_is_shown_without_what_a_terminal_obeys() -> None:
    parser = StreamParser()
    parser.feed(b"\x1b[2Jbash: buildbot: command not found" + b"!" * 1000 + b"\n")
    with pytest.raises(NotAFrame) as raised:
        parser.next_frame()
    assert r"\x1b[2Jbash: buildbot: command not found" in str(raised.value)
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize(
    "stream", [b"0 {" + b"x" * 5000, b"5000 {}\n", b"999999999 {}\n", b"0 {" + b"x" * 5000 + b"}\n"]
)
def test_more_than_the_limit_is_refused_before_it_is_kept(stream: bytes) -> None:
    parser = StreamParser(GREETING_MAX)
    parser.feed(stream)
    with pytest.raises(NotAFrame, match="more than the 4096 bytes"):
        parser.next_frame()


def test_a_header_is_one_line() -> None:
    with pytest.raises(NotAFrame, match="one line"):
        stream_bytes(Packed(b"{\n}"))
