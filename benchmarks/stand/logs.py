"""What a master stored of a log, read from its database: lines, bytes and a hash, for checks of what arrived."""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class StoredLog:
    lines: int
    bytes: int
    sha256: str


def stored_output(database: Path, log_id: int) -> StoredLog:
    """The lines of standard output that the master has of a log."""
    lines = size = 0
    digest = hashlib.sha256()
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        rows = connection.execute(
            "select content, compressed from logchunks where logid = ? order by first_line", (log_id,)
        )
        for content, compressed in rows:
            for line in _plain(content, compressed).split(b"\n"):
                if line[:1] == b"o":
                    text = line[1:] + b"\n"
                    lines += 1
                    size += len(text)
                    digest.update(text)
    return StoredLog(lines=lines, bytes=size, sha256=digest.hexdigest())


def _plain(content: bytes, compressed: int) -> bytes:
    if compressed == 0:
        return content
    if compressed == 1:
        return zlib.decompress(content)
    raise ValueError(f"logs compressed by method {compressed} are not read here")


def numbered_lines(path: Path, size: int) -> StoredLog:
    """Make a file of `size` bytes in lines of 100 bytes, each another one."""
    digest = hashlib.sha256()
    count = size // 100
    with path.open("wb") as file:
        for start in range(0, count, 10_000):
            piece = b"".join(b"%099d\n" % number for number in range(start, min(count, start + 10_000)))
            file.write(piece)
            digest.update(piece)
    return StoredLog(lines=count, bytes=count * 100, sha256=digest.hexdigest())
