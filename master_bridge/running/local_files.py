"""Files on this side: what is put on agents, and what is got of them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from pathlib import Path
from typing import BinaryIO

from master_bridge.operating.errors import OperatingError

#: Bytes that are read at a time.
BLOCK = 1024 * 1024


class LocalFile:
    """What is put on agents: a `Served`. It is read once first, for its digest; several agents are served of it."""

    def __init__(self, path: Path) -> None:
        """Raises `OperatingError` for what is no file that can be read."""
        self.path = path
        self.mode = 0o644
        digest = hashlib.sha256()
        self.size = 0
        try:
            self._file = self._open()
            try:
                self.mode = os.fstat(self._file.fileno()).st_mode & 0o777
                while block := self._file.read(BLOCK):
                    digest.update(block)
                    self.size += len(block)
            except BaseException:
                self._file.close()
                raise
        except OSError as error:
            raise OperatingError(f"{error.filename or path}: {error.strerror or error}") from None
        self.digest = digest.hexdigest()

    def _open(self) -> BinaryIO:
        """Raises OSError."""
        return self.path.open("rb")

    def read(self, offset: int, length: int) -> bytes:
        """Raises OSError."""
        length = max(0, min(length, self.size - offset))
        self._file.seek(offset)
        return self._file.read(length)

    def close(self) -> None:
        self._file.close()


class Arriving:
    """A file that comes from an agent: beside `target`, which it replaces at the end, or not at all."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._beside = target.with_name(f".get-{secrets.token_hex(8)}.part")
        self._file: BinaryIO | None = None

    def open(self) -> None:
        """Raises OSError."""
        self._target.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._beside.open("xb")

    def write(self, data: bytes) -> None:
        """The next bytes. Raises OSError."""
        assert self._file is not None
        self._file.write(data)

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
