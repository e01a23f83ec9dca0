"""Files between master and agent: what a download serves, what an upload's events do to its writer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from buildbot.process.remotetransfer import DirectoryWriter
from twisted.internet import defer

from contracts.messages import Event
from master_bridge.buildbot.files.archives.unpacking import unpack
from master_bridge.buildbot.files.downloads import (
    MEMORY,
    Content,
    Copies,
    Copy,
    InPlace,
    NotWanted,
    Patience,
    is_in_place,
)

#: Bytes read from a download's reader at a time.
BLOCK = MEMORY
#: Bytes after which the reactor gets a turn while a large file is read.
TURN = 4 * 1024 * 1024
#: Steps of unpacking, each of up to 64 KiB or one member, after which the reactor gets a turn.
UNPACKING_TURN = 64
#: Of this process, which is one master.
_COPIES = Copies()


@defer.inlineCallbacks
def spool_reader(
    reader: Any,
    maxsize: int | None,
    reactor: Any,
    *,
    wanted: Callable[[], bool] = lambda: True,
    patience: float | None = 0.0,
    copies: Copies = _COPIES,
) -> Any:
    """All that `reader` delivers, at most one byte more than `maxsize`, as a `Content`; its `close` closes the reader.

    Raises `NotWanted` soon after it is no longer `wanted`, and `OutOfRoom` when a copy had no room for `patience`
    seconds (None: never). The reader is closed then.
    """
    content: Content = (
        InPlace(reader) if is_in_place(reader) else Copy(copies, Patience(reactor, patience, wanted).wait)
    )
    limit = None if maxsize is None else maxsize + 1
    turn = TURN
    try:
        while limit is None or content.size < limit:
            block = BLOCK if limit is None else min(BLOCK, limit - content.size)
            data = yield defer.maybeDeferred(reader.remote_read, block)
            if not data:
                break
            yield content.add(data if isinstance(data, bytes) else str(data).encode("utf-8"))
            if content.size >= turn:
                turn += TURN
                yield _next_turn(reactor)
                if not wanted():
                    raise NotWanted
    except BaseException:
        yield content.close()
        yield defer.maybeDeferred(reader.remote_close)
        raise
    if isinstance(content, Copy):
        yield defer.maybeDeferred(reader.remote_close)
    return content


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
    """As `DirectoryWriter.remote_unpack`, but the archive is not trusted, and it takes many short turns of the reactor.

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
