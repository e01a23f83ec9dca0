"""Appends a piece of output to a log as Buildbot does (db/logs.py, `appendLog`), in one pass and one call.

Buildbot reads, encodes and compresses each line by itself: 14 ms of processor time for a MiB of lines of 100 bytes,
half of which is passed in one go. Then it asks the database three times, in turn: how many lines there are, what to
write, and how many lines there are now. With SQLite, which has one thread, all other calls wait in between, and each of
the two commits writes the disk.

What is stored is the same, byte by byte: a chunk for each piece. (db/logs.py means to make chunks of 64 KiB, but never
adds up their size.) A line that Buildbot may have to cut takes Buildbot's own way, and so does what is no whole lines,
which Buildbot refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import sqlalchemy
from twisted.internet import defer, threads

from master_bridge.buildbot.output.lines import has_long_line

#: As it is stored, and by which method it was compressed.
Chunk = tuple[bytes, int]
#: Characters up to which a piece is compressed where it is written: 0.1 ms, as long as another thread's turn takes.
SMALL = 4 * 1024


class AppendedLogs:
    """Of one master: `keep`, and `release` before its database is closed."""

    def __init__(self) -> None:
        self._logs: Any = None

    def keep(self, master: Any) -> None:
        """Until `release`; no more than once."""
        if self._logs is None:
            self._logs = logs = master.db.logs
            logs.appendLog = partial(_append, logs, logs.appendLog)

    def release(self) -> None:
        """Buildbot's own way from now on."""
        logs, self._logs = self._logs, None
        if logs is not None:
            del logs.appendLog


@defer.inlineCallbacks
def _append(logs: Any, usual: Any, logid: int, content: str) -> Any:
    """Fires with the numbers of the first and the last of the lines in `content`; None: no such log."""
    if not content.endswith("\n") or has_long_line(content):
        return (yield usual(logid, content))
    method, compressor = logs._get_configured_compressor()
    make: Callable[[], Chunk] = partial(_chunk, content, method, compressor, logs.NO_COMPRESSION_ID)
    if len(content) > SMALL:
        made = yield threads.deferToThreadPool(logs.master.reactor, logs._compression_pool, make)
        make = lambda: made  # noqa: E731
    return (yield logs.db.pool.do(_insert, logs.db.model, logid, content.count("\n"), make))


def _chunk(content: str, method: int, compressor: Any, none: int) -> Chunk:
    """As it is stored, without its last line end, and by which method; `none` where that makes it no smaller."""
    raw = content[:-1].encode()
    compressing = compressor.CompressObj()
    compressed: bytes = compressing.compress(raw) + compressing.flush()
    return (compressed, method) if len(compressed) < len(raw) else (raw, none)


def _insert(connection: Any, model: Any, logid: int, lines: int, make: Callable[[], Chunk]) -> tuple[int, int] | None:
    """In a thread of Buildbot's database, in one transaction.

    It begins with a write: on SQLite a transaction that has read must not write once another program has written.
    """
    content, method = make()
    numbers = model.logs.c.num_lines
    of_log = model.logs.c.id == logid
    connection.execute(model.logs.update().where(of_log).values(num_lines=numbers + lines))
    end = connection.execute(sqlalchemy.select(numbers).where(of_log)).scalar()
    if end is None:
        return None
    first = end - lines
    connection.execute(
        model.logchunks.insert(),
        {"logid": logid, "first_line": first, "last_line": end - 1, "content": content, "compressed": method},
    )
    connection.commit()
    return first, end - 1
