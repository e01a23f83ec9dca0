"""Archives made member by member, as an agent may send them, and how the bridge unpacks them."""

from __future__ import annotations

import bz2
import gzip
import io
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from buildbot.process.remotetransfer import DirectoryWriter
from twisted.internet import defer
from twisted.python.failure import Failure

from contracts.messages import Event
from master_bridge.buildbot.files import transfers

COMPRESS: Mapping[str | None, Callable[[bytes], bytes]] = {None: bytes, "gz": gzip.compress, "bz2": bz2.compress}
#: an archive's end mark
END = bytes(2 * tarfile.BLOCKSIZE)


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", **more: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, 0o644
    for key, value in more.items():
        setattr(made, key, value)
    return made


def archive(members: Sequence[tarfile.TarInfo], content: bytes = b"", *, format: int = tarfile.PAX_FORMAT) -> bytes:
    """An archive of `members`; each file has `content`."""
    made = io.BytesIO()
    with tarfile.open(mode="w", fileobj=made, format=format) as tar:
        for each in members:
            if each.isreg():
                each.size = len(content)
            tar.addfile(each, io.BytesIO(content))
    return made.getvalue()


def block(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", **more: Any) -> bytes:
    """One header as it is said, with whatever content follows it: also what `tarfile` would not write."""
    header = member(name, kind, size=more.pop("size", len(content)), **more).tobuf(tarfile.GNU_FORMAT)
    return header + content + bytes(-len(content) % tarfile.BLOCKSIZE)


def pax(*records: tuple[str, bytes], kind: bytes = tarfile.XHDTYPE) -> bytes:
    """A pax header with these records."""
    content = b""
    for keyword, value in records:
        rest = b" " + keyword.encode() + b"=" + value + b"\n"
        length = len(rest) + 1
        while len(str(length)) + len(rest) != length:
            length += 1
        content += str(length).encode() + rest
    return block("pax", kind, content)


def upload(data: bytes, target: Path, *, compress: str | None = None, maxsize: int | None = None) -> Failure | None:
    """What a session's events do to Buildbot's writer: the failure, None if all went well.

    Small archives are unpacked within one turn of the reactor, which does not run here.
    """
    writer = DirectoryWriter(str(target), maxsize, compress, 0o600)
    events = [
        Event(session="s", seq=1, n=1, kind="write", data=COMPRESS[compress](data)),
        Event(session="s", seq=2, n=1, kind="writer", value=["unpack"]),
    ]
    failures: list[Failure] = []
    finished: list[object] = []
    for event in events:
        done: defer.Deferred[object] = transfers.write(writer, event)
        done.addErrback(failures.append)
        done.addBoth(finished.append)
    assert len(finished) == len(events)
    assert not Path(writer.tarname).exists(), "the archive stays on the master's disk"
    return failures[0] if failures else None
