"""The journal on disk: append-only segment files `events.<first seq>`, each a row of records.

A record is a prefix (length of the header, length of the data, CRC-32 of both; big-endian 32 bit each), a JSON header
and raw data. A record that is not whole, or whose checksum is wrong, ends the file: that is the torn tail that a
killed writer leaves.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO

PREFIX = struct.Struct(">III")
_NAME = "events."
#: A header is an event without its data; `listdir` of a huge folder is some 10 MiB. More than this is damage.
HEADER_MAX = 256 * 1024 * 1024


def segment_path(folder: str | os.PathLike[str], first: int) -> str:
    return os.path.join(folder, f"{_NAME}{first:016d}")


def segments(folder: str | os.PathLike[str]) -> list[tuple[int, str]]:
    """(first sequence number, path) of the segments in `folder`, in order. Empty for a folder that is not there."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    found = [(int(name[len(_NAME) :]), os.path.join(folder, name)) for name in names if _is_segment(name)]
    return sorted(found)


def _is_segment(name: str) -> bool:
    return name.startswith(_NAME) and name[len(_NAME) :].isdigit()


def event_header(
    seq: int, n: int, kind: str, value: Any = None, *, interrupted: str | None = None, infrastructure: str | None = None
) -> dict[str, Any]:
    """The header of an event's record: its fields but the session, whose folder it is, and the data."""
    header: dict[str, Any] = {"seq": seq, "n": n, "kind": kind}
    if value is not None:
        header["value"] = value
    if interrupted is not None:
        header["interrupted"] = interrupted
    if infrastructure is not None:
        header["infrastructure"] = infrastructure
    return header


def pack(header: Mapping[str, Any], data: bytes = b"") -> bytes:
    """What stands before `data` in one record: prefix and header."""
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=True).encode("ascii")
    return PREFIX.pack(len(text), len(data), zlib.crc32(data, zlib.crc32(text))) + text


def read_record(file: BinaryIO, *, verify: bool = True) -> tuple[dict[str, Any], bytes, int] | None:
    """The record at the file's position: header, data and its size in the file. None for the end or a torn tail.

    Without `verify` a record that is whole by its lengths is believed (see `JournalFiles.trust`).
    """
    prefix = file.read(PREFIX.size)
    if len(prefix) < PREFIX.size:
        return None
    header_size, data_size, checksum = PREFIX.unpack(prefix)
    if header_size > HEADER_MAX:
        return None
    text = file.read(header_size)
    if len(text) < header_size:
        return None
    data = file.read(data_size)
    if len(data) < data_size or (verify and zlib.crc32(data, zlib.crc32(text)) != checksum):
        return None
    return json.loads(text), data, PREFIX.size + header_size + data_size


def skip_record(file: BinaryIO, size: int) -> int | None:
    """Bytes of the record at the file's position, which is moved past it; None for the end. `size`: of the file.

    Does not look at the checksum: for counting records of a segment that its writer has closed, or is alive to repair.
    """
    start = file.tell()
    prefix = file.read(PREFIX.size)
    if len(prefix) < PREFIX.size:
        return None
    header_size, data_size, _ = PREFIX.unpack(prefix)
    length: int = PREFIX.size + header_size + data_size
    if start + length > size:
        return None
    file.seek(start + length)
    return length
