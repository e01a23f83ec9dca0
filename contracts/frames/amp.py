"""Frames as AMP boxes, for wires that carry AMP (https://amp-protocol.net). Pure.

A box is a sequence of keys (at most 255 bytes) and values (at most 65,535), each with its length in two bytes,
big-endian, before it; an empty key ends it. A frame longer than one value travels in several boxes: each has the next
pieces of its header (`h`) and of its raw bytes (`b`), and all but the last say that more follow (`m`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from contracts.frames.codec import FRAME_MAX, NotAFrame, Packed

KEY_MAX = 255
PIECE_MAX = 65_535
HEADER_KEY, BODY_KEY, MORE_KEY = b"h", b"b", b"m"
_KEYS = frozenset({HEADER_KEY, BODY_KEY, MORE_KEY})
_END = b"\0\0"


def boxes_of(packed: Packed) -> Iterator[dict[bytes, bytes]]:
    """The boxes of one frame, in the order in which they are sent."""
    header, body = packed.header, packed.body
    at = 0
    while True:
        box = {}
        if at < len(header):
            box[HEADER_KEY] = header[at : at + PIECE_MAX]
        if at < len(body):
            box[BODY_KEY] = body[at : at + PIECE_MAX]
        at += PIECE_MAX
        more = at < len(header) or at < len(body)
        if more:
            box[MORE_KEY] = b"1"
        yield box
        if not more:
            return


def bytes_of(box: Mapping[bytes, bytes]) -> bytes:
    """A box as it travels."""
    parts = []
    for key, value in box.items():
        parts += [len(key).to_bytes(2, "big"), key, len(value).to_bytes(2, "big"), value]
    return b"".join((*parts, _END))


class Assembler:
    """Boxes back to frames. `limit` bytes of header and raw bytes together are read of a frame, or less."""

    def __init__(self, limit: int = FRAME_MAX) -> None:
        self.limit = limit
        self._header: list[bytes] = []
        self._body: list[bytes] = []
        self._size = 0

    def add(self, box: Mapping[bytes, bytes]) -> Packed | None:
        """The frame that this box completes. Raises `NotAFrame`; then the connection is of no use any more."""
        if not box.keys() <= _KEYS or not box.keys() & {HEADER_KEY, BODY_KEY}:
            raise NotAFrame("a box that holds no piece of a frame")
        header, body = box.get(HEADER_KEY, b""), box.get(BODY_KEY, b"")
        self._size += len(header) + len(body)
        if self._size > self.limit:
            raise NotAFrame(f"a frame of more than the {self.limit} bytes allowed here")
        self._header.append(header)
        self._body.append(body)
        if MORE_KEY in box:
            return None
        packed = Packed(b"".join(self._header), b"".join(self._body))
        self._header, self._body, self._size = [], [], 0
        return packed


class BoxParser:
    """Bytes of a stream to boxes, however they were cut on their way."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._box: dict[bytes, bytes] = {}
        self._key: bytes | None = None

    def feed(self, data: bytes) -> list[dict[bytes, bytes]]:
        """All boxes that are complete now. Raises `NotAFrame` for what is no AMP, and for a box without end."""
        found = []
        buffer = self._rest
        buffer += data
        at = 0
        while len(buffer) - at >= 2:
            length = int.from_bytes(buffer[at : at + 2], "big")
            if self._key is None and length > KEY_MAX:
                raise NotAFrame("what came is no AMP")
            if self._key is None and length == 0:
                found.append(self._box)
                self._box, at = {}, at + 2
                continue
            if len(buffer) - at - 2 < length:
                break
            piece = bytes(memoryview(buffer)[at + 2 : at + 2 + length])
            at += 2 + length
            if self._key is None:
                self._key = piece
            else:
                self._add(self._key, piece)
                self._key = None
        del buffer[:at]
        return found

    def _add(self, key: bytes, value: bytes) -> None:
        """No box of ours has a key twice, or others: what has is not kept until it fills the memory."""
        if key not in _KEYS or key in self._box:
            raise NotAFrame("a box with a key that no frame has")
        self._box[key] = value
