"""Frames as AMP boxes: whole after any cut, as Twisted's own AMP reads and writes them, and bounded."""

from __future__ import annotations

from random import Random

import pytest
from twisted.protocols.amp import AmpBox, BinaryBoxProtocol

from contracts.frames.amp import Assembler, BoxParser, boxes_of, bytes_of
from contracts.frames.codec import NotAFrame, Packed

FRAMES = [
    Packed(b'{"f":"beat"}'),
    Packed(b'{"f":"say"}', b"x"),
    Packed(b"h" * 65_535, b"b" * 65_535),
    Packed(b"h" * 65_536, b"b" * 10),
    Packed(b"h" * 10, bytes(range(256)) * 4096),
]


class _Boxes:
    """A receiver of Twisted's boxes."""

    def __init__(self) -> None:
        self.boxes: list[AmpBox] = []

    def startReceivingBoxes(self, sender: object) -> None:
        pass

    def stopReceivingBoxes(self, reason: object) -> None:
        pass

    def ampBoxReceived(self, box: AmpBox) -> None:
        self.boxes.append(box)


def _stream(frames: list[Packed]) -> bytes:
    return b"".join(bytes_of(box) for frame in frames for box in boxes_of(frame))


@pytest.mark.parametrize("seed", range(20))
def test_frames_come_whole_however_the_stream_is_cut(seed: int) -> None:
    dice = Random(seed)
    stream, parser, assembler, found = _stream(FRAMES), BoxParser(), Assembler(), []
    while stream:
        cut = dice.choice((1, 2, 3, 1000, 70_000, 1_000_000)) if seed else 100_000_000
        for box in parser.feed(stream[:cut]):
            frame = assembler.add(box)
            found += [frame] if frame is not None else []
        stream = stream[cut:]
    assert found == FRAMES


def test_twisted_reads_and_writes_the_same() -> None:
    receiver = _Boxes()
    protocol = BinaryBoxProtocol(receiver)
    protocol.dataReceived(_stream(FRAMES))
    assembler = Assembler()
    assert [frame for box in receiver.boxes if (frame := assembler.add(box)) is not None] == FRAMES
    written = b"".join(AmpBox(box).serialize() for frame in FRAMES for box in boxes_of(frame))
    parser = BoxParser()
    assert [frame for box in parser.feed(written) if (frame := assembler.add(box)) is not None] == FRAMES


@pytest.mark.parametrize(
    "stream",
    [
        b"GET / HTTP/1.1\r\n",
        b"AMQP\0\0\x09\x01",
        bytes_of({b"_command": b"x"}),
        b"\0\1h\0\1x" * 2,
        b"\0\0",
    ],
)
def test_what_is_no_frame_is_refused_at_once(stream: bytes) -> None:
    parser, assembler = BoxParser(), Assembler()
    with pytest.raises(NotAFrame):
        [assembler.add(box) for box in parser.feed(stream)]


def test_a_frame_without_end_is_refused_before_it_fills_the_memory() -> None:
    assembler = Assembler(limit=100_000)
    piece = {b"b": b"x" * 65_535, b"m": b"1"}
    assert assembler.add(piece) is None
    with pytest.raises(NotAFrame, match="more than"):
        assembler.add(piece)
