"""Files between master and agent: what a download serves, what an upload's events do to its writer."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from buildbot.process.remotetransfer import DirectoryWriter
from twisted.internet import defer

from contracts.messages import Event
from master_bridge.buildbot.archives.unpacking import unpack

#: Bytes read from a download's reader at a time.
BLOCK = 1024 * 1024
#: Bytes after which the reactor gets a turn while a large file is read.
TURN = 4 * 1024 * 1024
#: A smaller file is served from memory, a larger one from a temporary file.
MEMORY = 1024 * 1024
#: Steps of unpacking, each of up to 64 KiB or one member, after which the reactor gets a turn.
UNPACKING_TURN = 64
#: Hash large files beside the reactor, which reads and writes the next block meanwhile; threads start when first used.
_HASHERS = ThreadPoolExecutor(max_workers=2, thread_name_prefix="download-hash")


class Spool:
    """The content of a download, fixed before its command starts, so that any part can be served again.

    A copy: the file on the master may change while agents, one after the other, read it, and its hash is part of the
    command's digest.
    """

    def __init__(self) -> None:
        # closed by `close`, when the command ends
        self._file = tempfile.SpooledTemporaryFile(max_size=MEMORY)  # noqa: SIM115
        self._hash = hashlib.sha256()
        self._hashing: Future[None] | None = None
        self.size = 0

    def add(self, data: bytes) -> None:
        self._file.write(data)
        self.size += len(data)
        self._hashed()
        if self.size > MEMORY:
            self._hashing = _HASHERS.submit(self._hash.update, data)
        else:
            self._hash.update(data)

    def _hashed(self) -> None:
        """Wait for the block before: a millisecond at most, and only one block is kept for it."""
        if self._hashing is not None:
            self._hashing.result()
            self._hashing = None

    def digest(self) -> str:
        self._hashed()
        return self._hash.hexdigest()

    def read(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(length)

    def close(self) -> None:
        self._file.close()


@defer.inlineCallbacks
def spool_reader(reader: Any, maxsize: int | None, reactor: Any) -> Any:
    """All that `reader` delivers, at most one byte more than `maxsize`, as a `Spool`. The reader is closed."""
    spool = Spool()
    limit = None if maxsize is None else maxsize + 1
    turn = TURN
    try:
        while limit is None or spool.size < limit:
            wanted = BLOCK if limit is None else min(BLOCK, limit - spool.size)
            data = yield defer.maybeDeferred(reader.remote_read, wanted)
            if not data:
                break
            spool.add(data if isinstance(data, bytes) else str(data).encode("utf-8"))
            if spool.size >= turn:
                turn += TURN
                yield _next_turn(reactor)
    except BaseException:
        spool.close()
        raise
    finally:
        yield defer.maybeDeferred(reader.remote_close)
    return spool


def write(writer: Any, event: Event, wanted: Callable[[], bool] = lambda: True) -> defer.Deferred[Any]:
    """Carry out one `write` or `writer` event of an upload; fails with what the writer raises.

    Unpacking takes several turns of the reactor; it stops once the upload is no longer `wanted`.
    """
    if writer is None:
        return defer.fail(TypeError(f"the agent uploads ({event.kind}), but the command has no writer"))
    if event.kind == "write":
        return defer.maybeDeferred(writer.remote_write, event.data)
    call, *arguments = event.value if isinstance(event.value, list) and event.value else [event.value]
    if call == "utime" and len(arguments) == 1:
        return defer.maybeDeferred(writer.remote_utime, tuple(arguments[0]))
    if call == "unpack" and getattr(type(writer), "remote_unpack", None) is DirectoryWriter.remote_unpack:
        return _unpack(writer, wanted)
    if call == "unpack":
        return defer.maybeDeferred(writer.remote_unpack)
    if call == "close" and isinstance(writer, DirectoryWriter):
        return defer.fail(ValueError("the agent closes an upload of a folder, and does not have it unpacked"))
    if call == "close":
        return defer.maybeDeferred(writer.remote_close)
    return defer.fail(ValueError(f"the agent calls {event.value!r} of the command's writer, which it does not have"))


@defer.inlineCallbacks
def _unpack(writer: DirectoryWriter, wanted: Callable[[], bool]) -> Any:
    """As `DirectoryWriter.remote_unpack`, but with a reader of archives that believes nothing, and never one turn long.

    The archive is removed whatever becomes of it. A writer with a `remote_unpack` of its own does it its own way.
    """
    from twisted.internet import reactor  # here: importing it chooses one

    archive = Path(writer.tarname)
    try:
        writer.remote_close()
        received = archive.stat().st_size
        maxsize = None if writer.remaining is None else writer.remaining + received
        steps = unpack(archive, Path(writer.destroot), compress=writer.compress, maxsize=maxsize)
        for number, _ in enumerate(steps, 1):
            if number % UNPACKING_TURN == 0:
                yield _next_turn(reactor)
                if not wanted():
                    steps.close()
                    return
    finally:
        archive.unlink(missing_ok=True)


def _next_turn(reactor: Any) -> defer.Deferred[None]:
    result: defer.Deferred[None] = defer.Deferred()
    reactor.callLater(0, result.callback, None)
    return result
