"""An archive's bytes, decompressed piece by piece."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator
from typing import BinaryIO, Protocol, TypeVar

T = TypeVar("T")
#: Work in small steps: yields after each of them, returns its result.
Steps = Generator[None, None, T]

#: Bytes read from the file, or decompressed, in one step. It bounds memory, whatever the archive's ratio is.
PIECE = 64 * 1024


class ArchiveRefused(Exception):
    """An uploaded archive is not unpacked (any further): its text says what is wrong with which member."""


class MemberRefused(ArchiveRefused):
    """… but the others may be: this one has no content. It is a link that leads outside, a pipe or a device."""


class _Decompressor(Protocol):
    @property
    def hungry(self) -> bool:
        """Does `feed` want more of the file, and not only to be called again?"""

    def feed(self, data: bytes) -> bytes:
        """Up to PIECE bytes of what `data`, and all before it, decompress to."""


class Source:
    """Reads `file`, an archive with the compression `compress` (Buildbot's: None, "gz", "bz2")."""

    def __init__(self, file: BinaryIO, compress: str | None) -> None:
        self._file = file
        self._waiting = bytearray()
        kinds: dict[str | None, Callable[[], _Decompressor]] = {None: _Plain, "gz": _Gzip, "bz2": _Bzip2}
        self._decompressor = kinds[compress]()

    def read(self, size: int) -> Steps[bytes]:
        """The next `size` bytes. Fails at the archive's end."""
        while len(self._waiting) < size:
            self._waiting += self._decompress()
            yield
        data = bytes(self._waiting[:size])
        del self._waiting[:size]
        return data

    def skip(self, size: int) -> Steps[None]:
        while size > 0:
            size -= len((yield from self.read(min(size, PIECE))))

    def _decompress(self) -> bytes:
        """Up to PIECE bytes; none where a piece of input gives no output."""
        hungry = self._decompressor.hungry
        data = self._file.read(PIECE) if hungry else b""
        try:
            found = self._decompressor.feed(data)
        except (zlib.error, OSError, EOFError) as error:
            raise ArchiveRefused(f"the archive's compression is damaged: {error}") from error
        if hungry and not data and not found:
            raise ArchiveRefused("the archive ends early")
        return found


class _Plain:
    @property
    def hungry(self) -> bool:
        return True

    def feed(self, data: bytes) -> bytes:
        return data


class _Gzip:
    """One gzip stream. What follows it is not read, as by Buildbot."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._input = b""

    @property
    def hungry(self) -> bool:
        return not self._input

    def feed(self, data: bytes) -> bytes:
        if self._zlib.eof:
            raise EOFError("it ends before the archive does")
        found = self._zlib.decompress(self._input + data, PIECE)
        self._input = self._zlib.unconsumed_tail
        return found


class _Bzip2:
    """One bzip2 stream. What follows it is not read, as by Buildbot."""

    def __init__(self) -> None:
        import bz2  # a Python that was built without it does all but this

        self._bz2 = bz2.BZ2Decompressor()

    @property
    def hungry(self) -> bool:
        return self._bz2.needs_input

    def feed(self, data: bytes) -> bytes:
        if self._bz2.eof:
            raise EOFError("it ends before the archive does")
        return self._bz2.decompress(data, PIECE)
