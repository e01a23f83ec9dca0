"""The keeper's side of the journal: appends events, counts what is not stored yet, stays within its bounds."""

from __future__ import annotations

import errno
import os
from collections import deque
from typing import Any

from worker_agent.keeper.files import remove_file
from worker_agent.keeper.journal.segments import event_header, pack, read_record, segment_path, segments

#: A segment is closed and the next begun at this size: the unit in which stored events can be dropped.
SEGMENT_SIZE = 8 * 1024 * 1024
#: Set aside at the start, so that a full disk can still be reported in the journal.
RESERVE_SIZE = 256 * 1024
#: Granularity of the count of unstored bytes; keeps the count itself small however small the events are.
_GROUP = 64 * 1024
#: What a file system says when it takes no more bytes.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})
_OWNER_ONLY = 0o600


class JournalFull(OSError):
    """The disk took no more of the journal. Nothing half-written is left in it."""


class Journal:
    """Appends to the segments in `folder`. Sizes are bytes.

    `spool_max` bounds what Buildbot has not stored: past it `crowded` is True and nobody should read pipes.
    `journal_max` bounds all of it: past it the oldest segments go, if Buildbot has stored all their events.
    """

    def __init__(self, folder: str, *, spool_max: int, journal_max: int, segment_size: int = SEGMENT_SIZE) -> None:
        self._folder = folder
        self._spool_max = spool_max
        self._journal_max = journal_max
        self._segment_size = segment_size
        self._closed: deque[tuple[int, int, str]] = deque()  # last seq, size, path of segments before the current
        self._total = 0
        #: bytes ever written, and of those up to the last stored event
        self._written = 0
        self._stored_bytes = 0
        self._groups: deque[tuple[int, int]] = deque()  # (last seq, bytes written up to it), one each _GROUP bytes
        self._stored = 0
        self.seq = 0
        self._fd = -1
        self._path = ""
        self._size = 0
        self._reserve = os.path.join(folder, "reserve")
        self._recover()
        self.set_reserve()

    def append(
        self,
        n: int,
        kind: str,
        value: Any = None,
        data: bytes = b"",
        *,
        interrupted: str | None = None,
        infrastructure: str | None = None,
    ) -> int:
        """Write one event and return its sequence number. Raises `JournalFull`; then the event is not in."""
        header = event_header(self.seq + 1, n, kind, value, interrupted=interrupted, infrastructure=infrastructure)
        head = pack(header, data)
        size = len(head) + len(data)
        if self._fd < 0 or self._size >= self._segment_size:
            self._next_segment()
        self._write(head, data)
        self.seq += 1
        self._size += size
        self._total += size
        self._written += size
        if self._groups and self._written - self._group_start() <= _GROUP:
            self._groups[-1] = (self.seq, self._written)
        else:
            self._groups.append((self.seq, self._written))
        self._drop_stored()
        return self.seq

    @property
    def unstored(self) -> int:
        """Bytes written and not yet stored by Buildbot, give or take 64 KiB."""
        return self._written - self._stored_bytes

    @property
    def crowded(self) -> bool:
        return self.unstored > self._spool_max

    def trim(self, seq: int) -> None:
        """Buildbot has stored all events up to `seq`."""
        self._stored = max(self._stored, min(seq, self.seq))
        while self._groups and self._groups[0][0] <= self._stored:
            self._stored_bytes = self._groups.popleft()[1]
        self._drop_stored()

    def free_reserve(self) -> None:
        """Give back the space set aside, so that a last few events fit on a full disk."""
        remove_file(self._reserve)

    def set_reserve(self) -> bool:
        """Set the space aside (again); False when the disk has not that much."""
        fd = os.open(self._reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, _OWNER_ONLY)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(fd, 0, RESERVE_SIZE)
            else:
                os.write(fd, bytes(RESERVE_SIZE))
        except OSError:
            remove_file(self._reserve)
            return False
        finally:
            os.close(fd)
        return True

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self.free_reserve()

    def _group_start(self) -> int:
        return self._groups[-2][1] if len(self._groups) > 1 else self._stored_bytes

    def _write(self, head: bytes, data: bytes) -> None:
        left = [memoryview(part) for part in (head, data) if part]
        try:
            while left:
                written = os.writev(self._fd, left)
                while left and written >= len(left[0]):
                    written -= len(left.pop(0))
                if left:
                    left[0] = left[0][written:]
        except OSError as error:
            if error.errno not in _FULL:
                raise
            os.ftruncate(self._fd, self._size)
            os.lseek(self._fd, self._size, os.SEEK_SET)
            raise JournalFull(error.errno, f"cannot write the journal: {error.strerror}") from None

    def _next_segment(self) -> None:
        path = segment_path(self._folder, self.seq + 1)
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _OWNER_ONLY)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise JournalFull(error.errno, f"cannot write the journal: {error.strerror}") from None
        if self._fd >= 0:
            os.close(self._fd)
            self._closed.append((self.seq, self._size, self._path))
        self._fd, self._size, self._path = fd, 0, path

    def _drop_stored(self) -> None:
        while self._total > self._journal_max and self._closed and self._closed[0][0] <= self._stored:
            _, size, path = self._closed.popleft()
            remove_file(path)
            self._total -= size

    def _recover(self) -> None:
        """Go on after what is there, without its torn tail."""
        found = segments(self._folder)
        for first, path in found:
            self.seq, size = first - 1, 0
            with open(path, "rb") as file:
                while (record := read_record(file)) is not None:
                    self.seq, size = record[0]["seq"], size + record[2]
            self._total += size
            self._written += size
            if path != found[-1][1]:
                self._closed.append((self.seq, size, path))
                continue
            self._fd, self._size, self._path = os.open(path, os.O_WRONLY | os.O_CLOEXEC), size, path
            os.ftruncate(self._fd, size)
            os.lseek(self._fd, size, os.SEEK_SET)
        if self._written:
            self._groups.append((self.seq, self._written))
