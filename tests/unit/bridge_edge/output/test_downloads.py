"""What a download serves: in place where the master has it, a copy within bounds where it does not."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from buildbot.process.remotetransfer import FileReader, StringFileReader
from buildbot.worker.protocols.base import FileReaderImpl
from twisted.internet import defer
from twisted.internet.task import Clock

from master_bridge.buildbot.files import downloads
from master_bridge.buildbot.files.downloads import COPIES_MAX, MEMORY, Changed, Content, Copies, NotWanted, OutOfRoom
from master_bridge.buildbot.files.transfers import spool_reader

CONTENT = b"0123456789" * (MEMORY // 4)


class Once(FileReaderImpl):
    """A reader of somebody's own, which gives its content once."""

    def __init__(self, content: bytes) -> None:
        self.file = io.BytesIO(content)
        self.closed = 0

    def remote_read(self, length: int) -> defer.Deferred[bytes]:
        return defer.succeed(self.file.read(length))

    def remote_close(self) -> None:
        self.closed += 1


class OwnRead(FileReader):
    """One that changes what is in the file."""

    def remote_read(self, length: int) -> bytes:
        data: bytes = super().remote_read(length)
        return data.replace(b"0", b"X")


@pytest.fixture(autouse=True)
def temporary_files(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Those that are made."""
    made: list[Any] = []
    make = tempfile.TemporaryFile

    def note(*args: Any, **kwargs: Any) -> Any:
        made.append(make(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(downloads.tempfile, "TemporaryFile", note)  # type: ignore[attr-defined]  # replaced where it is used
    return made


def spooled(reader: Any, maxsize: int | None = None, clock: Clock | None = None, **more: Any) -> list[Any]:
    """What came of it so far: nothing, a `Content`, or a failure."""
    found: list[Any] = []
    spool_reader(reader, maxsize, clock or Clock(), **more).addBoth(found.append)
    return found


def content(reader: Any, maxsize: int | None = None, **more: Any) -> Content:
    clock = Clock()
    found = spooled(reader, maxsize, clock, **more)
    while not found:
        clock.advance(0)
    (result,) = found
    return result  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", ["file", "unbuffered", "text", "own read"])
@pytest.mark.parametrize("maxsize", [None, 7, MEMORY * 2])
def test_any_part_can_be_read_again(kind: str, maxsize: int | None, tmp_path: Path) -> None:
    """Whatever the reader: size, hash and parts are those of what it gives, one byte above maxsize at most."""
    (tmp_path / "f").write_bytes(CONTENT)
    readers = {
        "file": lambda: FileReader((tmp_path / "f").open("rb")),
        "unbuffered": lambda: FileReader((tmp_path / "f").open("rb", buffering=0)),
        "text": lambda: StringFileReader(CONTENT.decode()),
        "own read": lambda: OwnRead((tmp_path / "f").open("rb")),
    }
    given = CONTENT.replace(b"0", b"X") if kind == "own read" else CONTENT
    whole = given if maxsize is None else given[: maxsize + 1]
    spool = content(readers[kind](), maxsize)  # type: ignore[no-untyped-call]  # a lambda
    assert spool.size == len(whole)
    assert spool.digest() == hashlib.sha256(whole).hexdigest()
    for _ in range(2):
        for offset, length in ((0, 5), (3, 4), (len(whole) - 1, 9), (len(whole), 1), (0, len(whole) + 1)):
            assert spool.read(offset, length) == whole[offset : offset + length]
    assert not spool.changed
    spool.close()


def test_what_the_master_has_is_not_copied(tmp_path: Path, temporary_files: list[Any]) -> None:
    """Neither a file nor a text: nothing is needed in TMPDIR. The file is closed with the command."""
    (tmp_path / "f").write_bytes(CONTENT)
    reader = FileReader((tmp_path / "f").open("rb"))
    file = reader.fp
    one, other = content(reader), content(StringFileReader(CONTENT.decode()))
    assert one.read(len(CONTENT) - 3, 3) == other.read(len(CONTENT) - 3, 3) == b"789"
    assert temporary_files == []
    one.close()
    assert file.closed
    other.close()


def test_a_file_that_is_replaced_or_grows_is_served_as_it_was(tmp_path: Path) -> None:
    """As it was opened; what is behind its end then is no part of it."""
    path = tmp_path / "f"
    path.write_bytes(b"first")
    spool = content(FileReader(path.open("rb")))
    with path.open("ab") as file:
        file.write(b" and more")
    assert spool.read(0, 99) == b"first"
    (tmp_path / "new").write_bytes(b"other")
    os.replace(tmp_path / "new", path)
    assert spool.read(0, 99) == b"first"
    spool.close()


def test_a_file_that_is_written_over_is_known_to_have_changed(tmp_path: Path) -> None:
    """The agent refuses it, since it has another hash; one that has become shorter cannot be served."""
    path = tmp_path / "f"
    path.write_bytes(CONTENT)
    spool = content(FileReader(path.open("rb")))
    with path.open("r+b") as file:
        file.write(b"other")
    os.utime(path, (1, 1))
    assert spool.changed
    path.write_bytes(b"short")
    with pytest.raises(Changed, match="made shorter"):
        spool.read(len(CONTENT) - 5, 5)
    spool.close()


def test_a_copy_waits_for_room_and_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """For as long as its owner is patient; then it says what was full, and nothing is kept."""
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(downloads.tempfile, "TemporaryFile", lambda **_: (_ for _ in ()).throw(full))  # type: ignore[attr-defined]  # replaced where it is used
    clock, copies = Clock(), Copies()
    reader = Once(CONTENT)
    found = spooled(reader, clock=clock, copies=copies, patience=30.0)
    clock.pump([1.0] * 29)
    assert found == []
    clock.pump([1.0] * 2)
    assert found[0].check(OutOfRoom)
    assert "No space left" in str(found[0].value)
    assert (copies.held, copies.growing, reader.closed) == (0, None, 1)
    small = spooled(Once(b"small"), clock=clock, copies=copies)
    assert small[0].read(0, 9) == b"small", "what fits into memory needs no room"


def test_a_copy_goes_on_where_it_was_when_there_is_room_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a write that went half way."""
    writes: list[int] = []

    class Narrow(io.BytesIO):
        def write(self, data: Any) -> int:
            writes.append(len(data))
            if len(writes) in (2, 3):
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(bytes(data)[: MEMORY // 3])

    monkeypatch.setattr(downloads.tempfile, "TemporaryFile", lambda **_: Narrow())  # type: ignore[attr-defined]  # replaced where it is used
    clock = Clock()
    found = spooled(Once(CONTENT), clock=clock, copies=Copies(), patience=None)
    clock.pump([1.0] * 5)
    (spool,) = found
    assert spool.digest() == hashlib.sha256(CONTENT).hexdigest()
    assert spool.read(0, len(CONTENT)) == CONTENT


def test_one_copy_at_a_time_grows_and_all_are_bounded() -> None:
    """A further one waits until the one before is whole, or until there is less of them."""
    clock, copies = Clock(), Copies()
    copies.held = COPIES_MAX
    first = spooled(Once(CONTENT), clock=clock, copies=copies)
    second = spooled(Once(CONTENT), clock=clock, copies=copies)
    clock.pump([1.0] * 3)
    assert (first, second) == ([], [])
    copies.held = 0
    clock.advance(1.0)
    assert len(first) == 1
    assert copies.growing is not None
    first[0].digest()
    clock.advance(1.0)
    assert len(second) == 1
    second[0].digest()
    assert copies.held == 2 * len(CONTENT)
    first[0].close()
    first[0].close()
    second[0].close()
    assert (copies.held, copies.growing) == (0, None)  # type: ignore[comparison-overlap]  # `close` changes it


@pytest.mark.parametrize("reader", [Once, lambda content: StringFileReader(content.decode())])
def test_what_nobody_wants_any_more_is_not_read_on(reader: Any) -> None:
    """A Stop is heard while a large file is read, and while a copy waits."""
    clock, copies, wanted = Clock(), Copies(), [True]
    large = spooled(reader(CONTENT * 4), clock=clock, copies=Copies(), wanted=lambda: wanted[0])
    copies.held = COPIES_MAX
    waiting = spooled(Once(CONTENT), clock=clock, copies=copies, wanted=lambda: wanted[0])
    assert (large, waiting) == ([], [])
    wanted[0] = False
    clock.pump([0.5] * 3)
    assert large[0].check(NotWanted)
    assert waiting[0].check(NotWanted)
