"""Files on this side: what is put on agents, and what is got of them."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
from pathlib import Path
from typing import BinaryIO

from master_bridge.operating.errors import OperatingError

#: Bytes that are read at a time.
BLOCK = 1024 * 1024
#: Of a file here that is not what was announced any more.
CHANGED = "it was changed while it was copied; put it again when nobody writes to it"


class LocalFile:
    """What is put on agents: a `Served`. It is read once first, for its digest; several agents are served of it.

    One that grows meanwhile is copied as long as it was, one that is removed or replaced as it was, since it is open.
    """

    def __init__(self, path: Path) -> None:
        """Raises `OperatingError` for what is no file that can be read."""
        self.path = path
        self.mode = 0o644
        digest = hashlib.sha256()
        self.size = 0
        try:
            self._file = self._open()
            try:
                found = os.fstat(self._file.fileno())
                self.mode = found.st_mode & 0o777
                left = found.st_size or None  # the system's own files say 0, and have more
                while block := self._file.read(BLOCK if left is None else min(BLOCK, left)):
                    digest.update(block)
                    self.size += len(block)
                    left = None if left is None else left - len(block)
            except BaseException:
                self._file.close()
                raise
        except OSError as error:
            raise OperatingError(f"{error.filename or path}: {error.strerror or error}") from None
        self.digest = digest.hexdigest()
        self._state = found.st_size, found.st_mtime_ns

    def _open(self) -> BinaryIO:
        """Raises OSError."""
        kind = self.path.stat().st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):  # a folder says itself that it is one
            raise OSError(errno.EINVAL, "it is a pipe, a socket or a device: it has no end", str(self.path))
        return self.path.open("rb")

    def read(self, offset: int, length: int) -> bytes:
        """Raises OSError, also where it has become shorter."""
        length = max(0, min(length, self.size - offset))
        try:
            self._file.seek(offset)
            data = self._file.read(length)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from None
        if len(data) < length:
            raise OSError(errno.ESTALE, CHANGED, str(self.path))
        return data

    @property
    def is_changed(self) -> bool:
        """Somebody has written to it since it was read for its digest."""
        found = os.fstat(self._file.fileno())
        return (found.st_size, found.st_mtime_ns) != self._state

    def close(self) -> None:
        self._file.close()


class Arriving:
    """A file that comes from an agent: beside `target`, which it replaces at the end, or not at all."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._beside = target.with_name(f".get-{secrets.token_hex(8)}.part")
        self._file: BinaryIO | None = None
        #: bytes that have come
        self.size = 0

    def open(self) -> None:
        """Raises OSError."""
        self._target.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._beside.open("xb")

    def write(self, data: bytes) -> None:
        """The next bytes. Raises OSError."""
        assert self._file is not None
        try:
            self._file.write(data)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._target)) from None
        self.size += len(data)

    def keep(self) -> None:
        """It is whole. Raises OSError."""
        self._close()
        self._beside.replace(self._target)

    def _close(self) -> None:
        assert self._file is not None
        self._file.close()

    def discard(self) -> None:
        """It is not, or is kept already."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        self._beside.unlink(missing_ok=True)
