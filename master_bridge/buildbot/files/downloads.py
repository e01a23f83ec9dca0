"""What a download serves: any part of its content, again and again, with a hash that is known before it starts.

Nothing is copied where the master has the content already: a file that Buildbot opened (`FileDownload`), a text in
memory (`StringDownload`). Only a reader of another kind, which gives its content once, is copied.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from buildbot.process.remotetransfer import FileReader
from twisted.internet import defer, task

from master_bridge.buildbot.output.room import LOOK_EVERY, is_disk_full

#: Hash large files beside the reactor, which reads the next block meanwhile; threads start when first used.
_HASHERS = ThreadPoolExecutor(max_workers=2, thread_name_prefix="download-hash")
#: Bytes of a copy that are kept in memory; a larger one is a temporary file.
MEMORY = 1024 * 1024
#: Bytes that all copies of a master hold together before a further one waits: at most this and one copy more.
COPIES_MAX = 256 * 1024 * 1024
#: Seconds between two looks whether other copies are gone.
COPIES_LOOK = 0.1


class NotWanted(Exception):
    """Nobody waits for this download any more: its step was stopped, or its session is over."""


class OutOfRoom(Exception):
    """There is no room on the master for the copy of a download, and has not been for a while."""


class Changed(Exception):
    """A file that agents download was made shorter meanwhile, or cannot be read any more."""


class Content(Protocol):
    """`size` bytes whose SHA-256 is `digest()`."""

    size: int

    def add(self, data: bytes) -> defer.Deferred[None] | None:
        """The next block of the content, as it was read."""

    def digest(self) -> str:
        """Of all that was added, in hexadecimal digits."""

    def read(self, offset: int, length: int) -> bytes:
        """Raises `Changed` if that part is not there any more."""

    @property
    def changed(self) -> bool:
        """May what is served differ from what was hashed?"""

    def close(self) -> defer.Deferred[Any] | None:
        """Nothing is read any more."""


class _Sum:
    """SHA-256 of blocks, the large ones' in a thread; only one block is kept for it."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._hashing: Future[None] | None = None

    def add(self, data: bytes) -> None:
        self._wait()
        if len(data) >= MEMORY:
            self._hashing = _HASHERS.submit(self._hash.update, data)
        else:
            self._hash.update(data)

    def digest(self) -> str:
        self._wait()
        return self._hash.hexdigest()

    def _wait(self) -> None:
        """For the block before: a millisecond at most."""
        if self._hashing is not None:
            self._hashing.result()
            self._hashing = None


class InPlace:
    """The file, or the memory, from which `reader` reads.

    A file that is replaced meanwhile stays as it was, since it is open; one that grows is served as long as it was. One
    that is written over no longer has the announced hash: the agent refuses what it got.
    """

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._file = reader.fp
        self._start = self._file.tell()
        self._sum = _Sum()
        self._state = self._look()
        self.size = 0

    def add(self, data: bytes) -> None:
        self._sum.add(data)
        self.size += len(data)

    def digest(self) -> str:
        return self._sum.digest()

    def read(self, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset`. Raises OSError."""
        length = max(0, min(length, self.size - offset))
        try:
            self._file.seek(self._start + offset)
            data: bytes = self._file.read(length)
        except (OSError, ValueError) as error:
            raise Changed(f"the master's file cannot be read any more: {error}") from None
        if len(data) < length:
            raise Changed("the master's file was made shorter while it was downloaded")
        return data

    @property
    def changed(self) -> bool:
        """The file is not what it was when the download began."""
        return self._look() != self._state

    def close(self) -> defer.Deferred[Any]:
        return defer.maybeDeferred(self._reader.remote_close)

    def _look(self) -> tuple[int, ...] | None:
        if isinstance(self._file, io.BytesIO):
            return None
        try:
            found = os.fstat(self._file.fileno())
        except (OSError, ValueError):
            return None
        return found.st_size, found.st_mtime_ns


class Copies:
    """Copies of one master: how much they hold, and whose turn it is to grow."""

    def __init__(self) -> None:
        self.held = 0
        self.growing: Copy | None = None


class Copy:
    """Of what a reader gives once. `wait(problem)`: until the next try to write it, fails when there will be none."""

    def __init__(self, copies: Copies, wait: Callable[[BaseException | None], defer.Deferred[None]]) -> None:
        self._copies = copies
        self._wait = wait
        self._sum = _Sum()
        self._memory = io.BytesIO()
        self._file: Any = None
        self.size = 0

    @defer.inlineCallbacks
    def add(self, data: bytes) -> Any:
        """In memory, or in a file once that is too much."""
        if self._file is None and self.size + len(data) > MEMORY:
            yield self._spill()
        if self._file is None:
            self._memory.write(data)
        else:
            yield self._write(data)
            self._copies.held += len(data)
        self._sum.add(data)
        self.size += len(data)

    @defer.inlineCallbacks
    def _spill(self) -> Any:
        """From memory into a file: one copy at a time grows, while all the others together are of a bounded size."""
        copies = self._copies
        while copies.growing is not None or copies.held >= COPIES_MAX:
            yield self._wait(None)
        copies.growing = self
        while self._file is None:
            try:
                # closed by `close`, when the command ends
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
            except (
                OSError
            ) as problem:  # Python's own text where no folder takes a file: "No usable temporary directory"
                yield self._wait(problem)
        yield self._write(self._memory.getvalue())
        copies.held += self.size
        self._memory = io.BytesIO()

    @defer.inlineCallbacks
    def _write(self, data: bytes) -> Any:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._file.write(rest) :]
            except OSError as problem:
                if not is_disk_full(problem):
                    raise
                yield self._wait(problem)

    def digest(self) -> str:
        """It is whole: another one may grow."""
        self._grown()
        return self._sum.digest()

    def read(self, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset`."""
        file = self._memory if self._file is None else self._file
        file.seek(offset)
        data: bytes = file.read(length)
        return data

    @property
    def changed(self) -> bool:
        return False

    def close(self) -> None:
        self._grown()
        if self._file is not None and not self._file.closed:
            self._copies.held -= self.size
            self._file.close()

    def _grown(self) -> None:
        if self._copies.growing is self:
            self._copies.growing = None


def is_in_place(reader: Any) -> bool:
    """Does `reader` read a regular file, or bytes in memory, in Buildbot's own way?"""
    if not isinstance(reader, FileReader) or type(reader).remote_read is not FileReader.remote_read:
        return False
    file = reader.fp
    if isinstance(file, io.BytesIO):
        return True
    try:
        return isinstance(file, (io.BufferedReader, io.BufferedRandom, io.FileIO)) and stat.S_ISREG(
            os.fstat(file.fileno()).st_mode
        )
    except (OSError, ValueError):  # closed already: Buildbot's own way has words for that
        return False


class Patience:
    """How a copy waits for room: `seconds` at most, None: for as long as it takes; and no longer than it is wanted."""

    def __init__(self, reactor: Any, seconds: float | None, wanted: Callable[[], bool]) -> None:
        self._reactor = reactor
        self._seconds = seconds
        self._wanted = wanted
        self._waited = 0.0

    @defer.inlineCallbacks
    def wait(self, problem: BaseException | None) -> Any:
        """`problem` None: for other copies, which is no sign of a full disk. Raises `OutOfRoom` or `NotWanted`."""
        if not self._wanted():
            raise NotWanted
        if problem is not None and self._seconds is not None and self._waited >= self._seconds:
            raise OutOfRoom(f"master: disk full: no room to keep a file that agents download: {problem}")
        pause = COPIES_LOOK if problem is None else LOOK_EVERY
        yield task.deferLater(self._reactor, pause, lambda: None)
        self._waited += 0.0 if problem is None else pause
