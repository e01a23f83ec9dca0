"""Frames on a stream of bytes, as a pipe or `ssh` carries it, in a form that a shell can read and write. Pure.

A frame is one line and what follows it: how many raw bytes there are, in decimal digits, a space, the header's JSON,
a line feed, and then so many raw bytes. JSON writes a line feed within text as `\\n`, so a header is one line.

    0 {"f":"beat"}
    5 {"f":"say","number":1,"to":"events", …}
    hello
"""

from __future__ import annotations

import re

from contracts.frames.codec import FRAME_MAX, NotAFrame, Packed

#: The line before the raw bytes. A number of more digits is larger than any that is allowed.
_LINE = re.compile(rb"(0|[1-9][0-9]{0,8}) (\{.*\})", re.DOTALL)
#: How it begins, as far as it has come, and how many bytes of it show that.
_BEGINNING = re.compile(rb"(?:0|[1-9][0-9]{0,8})(?: (?:\{.*)?)?", re.DOTALL)
_BEGINNING_MAX = len(b"123456789 {")
#: Bytes of what came instead of a frame that a message shows.
_SHOWN = 60


def stream_bytes(packed: Packed) -> bytes:
    """A frame as it travels. Raises `NotAFrame` for a header of several lines, which `pack` never makes."""
    if b"\n" in packed.header:
        raise NotAFrame("a header of more than one line")
    return b"%d %b\n%b" % (len(packed.body), packed.header, packed.body)


class StreamParser:
    """Bytes of a stream to frames, however they were cut on their way.

    `limit` bytes of header and raw bytes together are read of a frame, or less.
    """

    def __init__(self, limit: int = FRAME_MAX) -> None:
        self.limit = limit
        self._rest = bytearray()
        self._searched = 0
        #: of a frame whose raw bytes have not all come
        self._header: bytes | None = None
        self._length = 0

    def feed(self, data: bytes) -> None:
        """More bytes; `next_frame` gives the frames in them."""
        self._rest += data

    def next_frame(self) -> Packed | None:
        """The next frame that is complete. Raises `NotAFrame`; then the stream is of no use any more."""
        if self._header is None:
            self._read_line()
        if self._header is None or len(self._rest) < self._length:
            return None
        packed = Packed(self._header, bytes(self._rest[: self._length]))
        del self._rest[: self._length]
        self._header = None
        return packed

    def _read_line(self) -> None:
        end = self._rest.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._rest)
            if self._searched and not _BEGINNING.fullmatch(bytes(self._rest[:_BEGINNING_MAX])):
                raise self._no_frame()
            if self._searched > self.limit + _BEGINNING_MAX:
                raise self._too_long()
            return
        found = _LINE.fullmatch(bytes(self._rest[:end]))
        if found is None:
            raise self._no_frame()
        header, length = found[2], int(found[1])
        if len(header) + length > self.limit:
            raise self._too_long()
        del self._rest[: end + 1]
        self._header, self._length, self._searched = header, length, 0

    def _too_long(self) -> NotAFrame:
        return NotAFrame(f"a frame of more than the {self.limit} bytes allowed here")

    def _no_frame(self) -> NotAFrame:
        line = bytes(self._rest[:_SHOWN]).split(b"\n")[0].decode("utf-8", "replace")
        return NotAFrame(f"a line that begins no frame: {line!a}")
