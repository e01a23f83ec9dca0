"""The main process's side of the journal: reads what the keepers write, sequentially and without holding it."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from cachetools import LRUCache

from contracts.messages import Event
from worker_agent.keeper.journal.segments import read_record, segment_path, segments, skip_record

#: Files kept open at a time, all sessions together: two a session, reading and counting, for some 30 sessions.
HANDLES_MAX = 64
#: One place in this many is remembered, so that a rewind reads at most that many records in vain.
_INDEX_EVERY = 64


def event_of(session: str, header: Mapping[str, Any], data: bytes) -> Event:
    """The event of a record of this session's journal."""
    return Event(session=session, data=data, **header)


class JournalFiles:
    """`core.journal.JournalReader` on the journals below `<state>/sessions`.

    Reading in sequence costs one record a call; a rewind costs at most 64 more. Each session has two cursors, one
    that reads and one that counts, so that `last_seq` does not disturb a reading that is behind.
    """

    def __init__(self, state: Path) -> None:
        self._sessions = str(state / "sessions")
        self._handles = _OpenFiles(HANDLES_MAX)
        self._reading: dict[str, _Cursor] = {}
        self._counting: dict[str, _Cursor] = {}
        self._index: dict[str, _Index] = {}
        self._trusted: set[str] = set()

    def trust(self, session: str) -> None:
        """A keeper of this session lives, so what it wrote comes from the kernel's memory as it was written.

        Even killed it leaves nothing but a record that is too short. Checksums are for what a power cut left: they
        took a quarter of the agent's time in an upload (measured), so they are not looked at here.
        """
        self._trusted.add(session)

    def read(self, session: str, seq: int) -> Event | None:
        """Event `seq`; None when it is not (wholly) written yet, or was dropped at the journal's bound."""
        if seq < 1:
            return None
        folder = os.path.join(self._sessions, session)
        index = self._index.setdefault(session, _Index())
        cursor = self._reading.get(session)
        if cursor is None or not cursor.seq <= seq <= cursor.seq + _INDEX_EVERY:
            cursor = index.nearest(folder, seq)
            if cursor is None:
                return None
            self._reading[session] = cursor
        while True:
            file = self._open(cursor.path)
            if file is None:
                del self._reading[session]
                return None
            file.seek(cursor.position)
            record = read_record(file, verify=session not in self._trusted)
            if record is None:
                self._distrust(cursor)
                following = segment_path(folder, cursor.seq)
                if following != cursor.path and os.path.exists(following):
                    cursor.path, cursor.position = following, 0
                    continue
                if not self._dropped(cursor):
                    return None
                cursor = index.nearest(folder, seq)
                if cursor is None:
                    del self._reading[session]
                    return None
                self._reading[session] = cursor
                continue
            header, data, size = record
            index.note(cursor)
            cursor.seq += 1
            cursor.position += size
            if header["seq"] == seq:
                return event_of(session, header, data)

    def last_seq(self, session: str) -> int:
        """The highest sequence number written; 0 for none. Costs the records written since the last call."""
        folder = os.path.join(self._sessions, session)
        cursor = self._counting.get(session)
        if cursor is None:
            found = segments(folder)
            if not found:
                return 0
            first, path = found[-1]
            cursor = self._counting[session] = _Cursor(first, path, 0)
        while True:
            file = self._open(cursor.path)
            if file is None:  # dropped: it was stored long ago, later ones are there
                del self._counting[session]
                return self.last_seq(session) if segments(folder) else cursor.seq - 1
            file.seek(0, 2)
            size = file.tell()
            file.seek(cursor.position)
            while (length := skip_record(file, size)) is not None:
                cursor.seq += 1
                cursor.position += length
            following = segment_path(folder, cursor.seq)
            if following != cursor.path and os.path.exists(following):
                cursor.path, cursor.position = following, 0
            elif self._dropped(cursor):
                self._handles.pop(cursor.path).close()
            else:
                return cursor.seq - 1

    def forget(self, session: str) -> None:
        """Close what is open of a session whose folder goes away."""
        self._trusted.discard(session)
        self._reading.pop(session, None)
        self._counting.pop(session, None)
        self._index.pop(session, None)
        folder = os.path.join(self._sessions, session)
        for path in [path for path in self._handles if os.path.dirname(path) == folder]:
            self._handles.pop(path).close()

    def close(self) -> None:
        """Every file that is open."""
        for handle in self._handles.values():
            handle.close()
        self._handles.clear()

    def _dropped(self, cursor: _Cursor) -> bool:
        """Has the writer removed the segment that we still have open? Then later ones are there, but not the next."""
        handle = self._handles.get(cursor.path)
        return handle is not None and os.fstat(handle.fileno()).st_nlink == 0

    def _distrust(self, cursor: _Cursor) -> None:
        """Drop the buffered bytes of a record that was not whole: the writer may replace them (disk full)."""
        handle = self._handles[cursor.path]
        found = os.fstat(handle.fileno())
        if found.st_nlink and found.st_size > cursor.position:
            self._handles.pop(cursor.path).close()

    def _open(self, path: str) -> BinaryIO | None:
        handle = self._handles.get(path)
        if handle is None:
            try:
                handle = open(path, "rb")  # noqa: SIM115  # it stays open: `_OpenFiles` closes it
            except FileNotFoundError:
                return None
            self._handles[path] = handle
        return handle


class _OpenFiles(LRUCache[str, BinaryIO]):
    """Closes the one that was not read for longest when another is opened beyond the bound."""

    def popitem(self) -> tuple[str, BinaryIO]:
        path, handle = super().popitem()
        handle.close()
        return path, handle


class _Cursor:
    """Where record `seq` begins, or will begin."""

    __slots__ = ("path", "position", "seq")

    def __init__(self, seq: int, path: str, position: int) -> None:
        self.seq = seq
        self.path = path
        self.position = position


class _Index:
    """Places in a session's journal by sequence number, each 64th record that was read."""

    def __init__(self) -> None:
        self._seqs: list[int] = []
        self._places: list[tuple[str, int]] = []

    def note(self, cursor: _Cursor) -> None:
        if cursor.seq % _INDEX_EVERY == 0 and (not self._seqs or cursor.seq > self._seqs[-1]):
            self._seqs.append(cursor.seq)
            self._places.append((cursor.path, cursor.position))

    def nearest(self, folder: str, seq: int) -> _Cursor | None:
        """The last known place at or before `seq`; None when that part of the journal is gone."""
        found = segments(folder)
        at = bisect_right([first for first, _ in found], seq) - 1
        if at < 0:
            return None
        first, path = found[at]
        known = bisect_right(self._seqs, seq) - 1
        if known >= 0 and self._seqs[known] >= first:
            return _Cursor(self._seqs[known], *self._places[known])
        return _Cursor(first, path, 0)
