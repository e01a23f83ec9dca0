"""Files: any size, whole or not at all, and no faster than they are stored."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from contracts.digest import command_digest
from contracts.messages import Command, Event
from contracts.timing import FILE_DATA_MAX
from tests.unit.keeper_processes.driving.harness import Driven, eventually, stream, update
from worker_agent.core.inputs import PullWanted
from worker_agent.keeper.commands import beside
from worker_agent.keeper.commands.download import _Target
from worker_agent.keeper.commands.upload import NAMED_MAX
from worker_agent.keeper.limits import PULL_QUICK, PULLS, PULLS_QUICK, UPLOAD_AHEAD

DOWNLOAD = {"workdir": "w", "workerdest": "f", "maxsize": None, "blocksize": 16384, "mode": None}
UPLOAD = {"workdir": "w", "workersrc": "f", "maxsize": None, "blocksize": 16384}
SIZES = [0, 1, FILE_DATA_MAX - 1, FILE_DATA_MAX, FILE_DATA_MAX + 1, 5 * FILE_DATA_MAX + 17]


def content(size: int) -> bytes:
    return bytes(i * 7 % 251 for i in range(1000)) * (size // 1000) + b"z" * (size % 1000)


@pytest.mark.parametrize("size", SIZES)
async def test_a_file_of_any_size_is_downloaded(driven: Driven, size: int) -> None:
    await driven.open()

    events = await driven.run("downloadFile", DOWNLOAD, content(size))

    assert update(events, "rc") == 0
    assert (driven.build / "w/f").read_bytes() == content(size)
    assert os.listdir(driven.build / "w") == ["f"]


async def test_a_few_pulls_are_under_way_at_a_time(driven: Driven) -> None:
    """Never more than eight, of 1 MiB at most: the memory of both sides is bounded."""
    await driven.open()
    driven.mute = True
    size = 20 * FILE_DATA_MAX
    n = driven.start("downloadFile", DOWNLOAD, content(size))
    answered = 0
    while answered < 20:
        await eventually(lambda count=answered: len(pulls(driven)) > count, "a pull")  # type: ignore[misc]
        assert len(pulls(driven)) - answered <= PULLS_QUICK
        pull = pulls(driven)[answered]
        assert pull.length <= FILE_DATA_MAX
        data = content(size)[pull.offset : pull.offset + pull.length]
        driven.keeper.feed(n, pull.offset, size, data)
        answered += 1

    assert update(await driven.completed(n), "rc") == 0
    assert (driven.build / "w/f").read_bytes() == content(size)


async def test_over_a_slow_line_fewer_pulls_are_under_way(driven: Driven) -> None:
    """Never more than four while answers take long: a Stop comes on the same way, behind them."""
    await driven.open()
    driven.mute = True
    size = 20 * FILE_DATA_MAX
    n = driven.start("downloadFile", DOWNLOAD, content(size))
    for answered in range(4):
        await eventually(lambda count=answered: len(pulls(driven)) > count, "a pull")  # type: ignore[misc]
        await asyncio.sleep(1.2 * PULL_QUICK)  # the line
        answer(driven, n, pulls(driven)[answered], size)
        wanted = answered + 1 + PULLS
        await eventually(lambda count=wanted: len(pulls(driven)) >= count, "more is asked for")  # type: ignore[misc]
        await driven.run("shell", {"workdir": "w", "command": "true"})
        assert len(pulls(driven)) == wanted

    driven.keeper.interrupt(n, "enough")
    await driven.completed(n)


async def test_what_comes_before_its_turn_is_bounded(driven: Driven) -> None:
    """While the answer to one pull is lost, the file is not read to its end into memory."""
    await driven.open()
    driven.mute = True
    size = 40 * FILE_DATA_MAX
    n = driven.start("downloadFile", DOWNLOAD, content(size))
    lost, done = 2 * FILE_DATA_MAX, 0
    await eventually(lambda: len(pulls(driven)) > 0, "a pull")
    while done < len(pulls(driven)):
        for pull in pulls(driven)[done:]:
            done += 1
            if pull.offset != lost:
                answer(driven, n, pull, size)
        await driven.run("shell", {"workdir": "w", "command": "true"})  # these have been taken
    assert max(pull.offset for pull in pulls(driven)) < lost + PULLS_QUICK * FILE_DATA_MAX

    driven.mute = False
    answer(driven, n, PullWanted(session="", n=n, offset=lost, length=FILE_DATA_MAX), size)
    assert update(await driven.completed(n), "rc") == 0
    assert (driven.build / "w/f").read_bytes() == content(size)


async def test_answers_in_any_order_and_twice_are_put_right(driven: Driven) -> None:
    """Pulls are answered out of order, in short pieces, and repeated."""
    await driven.open()
    driven.mute = True
    size = 4 * FILE_DATA_MAX
    n = driven.start("downloadFile", DOWNLOAD, content(size))
    done = 0
    while not completed(driven):
        await asyncio.sleep(0.01)
        new, done = pulls(driven)[done:], len(pulls(driven))
        for pull in reversed(new):
            piece = content(size)[pull.offset : pull.offset + min(pull.length, 100_000)]
            driven.keeper.feed(n, pull.offset, size, piece)
            driven.keeper.feed(n, pull.offset, size, piece)

    assert update(await driven.completed(n), "rc") == 0
    assert (driven.build / "w/f").read_bytes() == content(size)


async def test_a_pull_that_is_lost_is_repeated(driven: Driven) -> None:
    """Neither pulls nor data are journalled: what is not answered within 5 s is asked for again."""
    await driven.open()
    driven.mute = True
    n = driven.start("downloadFile", DOWNLOAD, b"text")
    await eventually(lambda: len(pulls(driven)) == 2, "the second pull")
    assert pulls(driven)[0] == pulls(driven)[1]

    driven.keeper.feed(n, 0, 4, b"text")

    assert update(await driven.completed(n), "rc") == 0
    assert (driven.build / "w/f").read_text() == "text"


@pytest.mark.parametrize("before", [None, "what was there"])
async def test_an_interrupted_download_leaves_no_half_file(driven: Driven, before: str | None) -> None:
    """What was there is still there; what was not is not."""
    await driven.open()
    target = driven.build / "w/f"
    target.parent.mkdir(parents=True)
    if before is not None:
        target.write_text(before)
    driven.mute = True
    n = driven.start("downloadFile", DOWNLOAD, content(3 * FILE_DATA_MAX))
    await eventually(lambda: len(pulls(driven)) == 1, "a pull")
    driven.keeper.feed(n, 0, 3 * FILE_DATA_MAX, content(3 * FILE_DATA_MAX)[:FILE_DATA_MAX])
    await eventually(lambda: len(pulls(driven)) > 1, "the next pull")

    driven.keeper.interrupt(n, "enough")
    events = await driven.completed(n)

    assert update(events, "rc") == 1
    assert events[-1].interrupted == "enough"
    assert os.listdir(target.parent) == ([] if before is None else ["f"])
    assert before is None or target.read_text() == before


async def test_damaged_content_is_refused(driven: Driven) -> None:
    """The digest of the command covers the content: other bytes of the same size do not become the file."""
    await driven.open()
    digest = command_digest("downloadFile", DOWNLOAD, hashlib.sha256(b"right").hexdigest())
    driven.files = {1: b"wrong", 2: b"right"}
    driven.keeper.run(Command(n=1, name="downloadFile", args=DOWNLOAD, digest=digest))
    events = await driven.completed(1)
    assert update(events, "rc") == 1
    assert b"damaged" in stream(events, "stderr")
    assert os.listdir(driven.build / "w") == []

    driven.keeper.run(Command(n=2, name="downloadFile", args=DOWNLOAD, digest=digest))
    assert update(await driven.completed(2), "rc") == 0
    assert (driven.build / "w/f").read_text() == "right"


async def test_a_download_leaves_the_files_owner_group_and_attributes(driven: Driven) -> None:
    """A new file takes the old one's place, and is its like in all but the content."""
    target = driven.build / "w/f"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"before")
    target.chmod(0o640)
    os.setxattr(target, "user.note", b"kept")
    if os.geteuid() == 0:  # nobody else may give files away
        os.chown(target, 1234, 4321)
    before = target.stat()
    await driven.open()
    assert update(await driven.run("downloadFile", DOWNLOAD, content(10)), "rc") == 0
    after = target.stat()
    assert target.read_bytes() == content(10)
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    assert os.getxattr(target, "user.note") == b"kept"
    assert after.st_ino != before.st_ino


def test_a_file_that_cannot_be_given_away_is_written_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By one who may write it, though it is another's: as Buildbot's worker does."""
    path = tmp_path / "f"
    path.write_bytes(b"before")
    before = path.stat()

    def refuse(*_arguments: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    target = _Target(str(path), None)
    with monkeypatch.context() as patch:
        patch.setattr(os, "setxattr", refuse)
        patch.setattr(os, "listxattr", lambda *_: ["user.note"])
        patch.setattr(os, "getxattr", lambda *_: b"kept")
        target.open()
    target.file.write(b"after")
    target.keep()
    assert path.read_bytes() == b"after"
    assert path.stat().st_ino == before.st_ino
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]


DOWNLOADING = """
import sys, time
from worker_agent.keeper.commands import beside
from worker_agent.keeper.commands.download import _Target

target = _Target(sys.argv[1], None)
target.open()
target.file.write(b"half")
target.file.flush()
print(flush=True)
time.sleep(600)
"""


def test_what_killed_keepers_left_is_gone_with_the_next_download(tmp_path: Path) -> None:
    """Half a file for each would stay in its folder. What somebody writes to, and what is called otherwise, stays."""
    others = {".downloading-0123456789abcdef.part.txt", ".download-0123456789abcdef.part"}
    for name in others:
        (tmp_path / name).touch()
    with subprocess.Popen(
        [sys.executable, "-c", DOWNLOADING, str(tmp_path / "f")], stdout=subprocess.PIPE, cwd=Path.cwd()
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"\n"
            target = _Target(str(tmp_path / "f"), None)
            target.open()
            assert len(set(os.listdir(tmp_path)) - others) == 2
            target.discard()
            assert len(set(os.listdir(tmp_path)) - others) == 1
        finally:
            child.kill()
    assert len(set(os.listdir(tmp_path)) - others) == 1
    target = _Target(str(tmp_path / "f"), None)
    target.open()
    target.file.write(b"all")
    target.keep()
    assert set(os.listdir(tmp_path)) == {"f"} | others
    assert (tmp_path / "f").read_bytes() == b"all"


def test_a_file_that_was_taken_for_left_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By another download in the moment between its making and its lock."""
    made: list[str] = []
    lock = beside._lock

    def removed_before_the_lock(file: int) -> None:
        if not made:
            made.extend(os.listdir(tmp_path))
            (tmp_path / made[0]).unlink()
        lock(file)

    monkeypatch.setattr(beside, "_lock", removed_before_the_lock)
    folder = os.open(tmp_path, os.O_RDONLY)
    file, name = beside.make(folder)
    os.close(file)
    os.close(folder)
    assert os.listdir(tmp_path) == [name]
    assert name not in made


async def test_a_download_writes_through_a_link(driven: Driven) -> None:
    """As opening the link would, and the file keeps its mode."""
    await driven.open()
    (driven.build / "w").mkdir(parents=True)
    real = driven.build / "real"
    real.write_text("old")
    real.chmod(0o640)
    (driven.build / "w/f").symlink_to("../real")

    await driven.run("downloadFile", DOWNLOAD, b"new")

    assert (driven.build / "w/f").is_symlink()
    assert real.read_text() == "new"
    assert real.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("size", SIZES)
async def test_a_file_of_any_size_is_uploaded(driven: Driven, size: int) -> None:
    await driven.open()
    (driven.build / "w").mkdir(parents=True)
    (driven.build / "w/f").write_bytes(content(size))

    events = await driven.run("uploadFile", UPLOAD)

    assert stream(events, "write") == content(size)
    assert [event.value for event in events if event.kind == "writer"] == [["close"]]
    assert update(events, "rc") == 0


async def test_an_upload_waits_for_room(driven: Driven) -> None:
    """It is read no faster than Buildbot stores it."""
    await driven.open(spool_max=1024 * 1024)
    (driven.build / "w").mkdir(parents=True)
    (driven.build / "w/f").write_bytes(content(8 * 1024 * 1024))
    n = driven.start("uploadFile", UPLOAD)
    await eventually(lambda: driven.journal.last_seq(driven.session) >= 3, "the first events")
    for _ in range(20):
        await asyncio.sleep(0.01)
        assert driven.journal.last_seq(driven.session) < 6

    events: list[Event] = []
    while not events or events[-1].kind != "completed":
        events.append(await driven.next())
        driven.keeper.trim(events[-1].seq)

    assert stream(events, "write") == content(8 * 1024 * 1024)
    assert events[-1].n == n


@pytest.mark.parametrize("compress", [None, "gz", "bz2"])
async def test_a_folder_is_uploaded_as_an_archive(driven: Driven, compress: str | None, tmp_path: Path) -> None:
    """With its files, empty folders, links and modes."""
    await driven.open()
    folder = driven.build / "w/d"
    (folder / "sub/empty").mkdir(parents=True)
    (folder / "sub/file").write_bytes(content(300_000))
    (folder / "sub/file").chmod(0o755)
    (folder / "link").symlink_to("sub/file")

    events = await driven.run(
        "uploadDirectory",
        {"workdir": "w", "workersrc": "d", "maxsize": None, "blocksize": 16384, "compress": compress},
    )

    mode = {None: "r:", "gz": "r:gz", "bz2": "r:bz2"}[compress]
    archive = tarfile.open(fileobj=io.BytesIO(stream(events, "write")), mode=mode)  # type: ignore[call-overload]  # noqa: SIM115
    members = {member.name.lstrip("/"): member for member in archive.getmembers()}
    assert {"sub", "sub/empty", "sub/file", "link"} <= set(members)
    assert members["sub/file"].mode & 0o777 == 0o755
    assert members["link"].linkname == "sub/file"
    found = archive.extractfile(members["sub/file"])
    assert found is not None
    assert found.read() == content(300_000)
    assert [event.value for event in events if event.kind == "writer"] == [["unpack"]]


async def test_all_of_a_folder_that_cannot_be_read_is_named(driven: Driven) -> None:
    """Files of the system's own are shorter than they say: the library's error says neither which nor why."""
    await driven.open()
    folder = "/sys/class/net/lo/statistics"
    args = {"workdir": "", "workersrc": folder, "maxsize": None, "blocksize": 16384, "compress": None}
    events = await driven.run("uploadDirectory", args)
    assert update(events, "rc") == 1
    assert not stream(events, "write")
    said = stream(events, "stderr").decode()
    assert said.startswith(f"Cannot read directory '{folder}' for upload: it became shorter: '{folder}/collisions'; ")
    assert f"it became shorter: '{folder}/rx_bytes'; " in said
    assert said.endswith(f"; and {len(os.listdir(folder)) - NAMED_MAX} more")
    assert not [event for event in events if event.kind == "writer"]


async def test_an_interrupted_upload_of_a_folder_is_not_unpacked(driven: Driven) -> None:
    """Half an archive must not become a folder."""
    await driven.open(spool_max=256 * 1024)
    (driven.build / "w/d").mkdir(parents=True)
    (driven.build / "w/d/f").write_bytes(content(4 * 1024 * 1024))
    args = {"workdir": "w", "workersrc": "d", "maxsize": None, "blocksize": 16384, "compress": None}
    n = driven.start("uploadDirectory", args)
    await eventually(lambda: driven.journal.last_seq(driven.session) >= 3, "the first bytes")

    driven.keeper.interrupt(n, "enough")  # although nobody stores what is there
    events = await driven.completed(n)

    assert update(events, "rc") == 1
    assert not [event for event in events if event.kind == "writer"]


def pulls(driven: Driven) -> list[PullWanted]:
    return [news for news in driven.inputs if isinstance(news, PullWanted)]


def answer(driven: Driven, n: int, pull: PullWanted, size: int) -> None:
    driven.keeper.feed(n, pull.offset, size, content(size)[pull.offset : pull.offset + pull.length])


def completed(driven: Driven) -> bool:
    last = driven.journal.last_seq(driven.session)
    event = driven.journal.read(driven.session, last)
    return event is not None and event.kind == "completed"


async def test_an_upload_is_not_far_ahead_of_what_is_stored(driven: Driven) -> None:
    """Who stops a build waits for all that was read."""
    await driven.open()
    driven.build.mkdir(parents=True, exist_ok=True)
    with (driven.build / "large").open("wb") as file:
        file.truncate(100_000_000)
    n = driven.start("uploadFile", {"workersrc": "large", "workdir": "", "maxsize": None, "blocksize": 4096})
    await driven.completed(driven.shell("sleep 1"))
    driven.keeper.interrupt(n, "enough")

    last = driven.journal.last_seq(driven.session)
    while (event := await driven.next()).kind != "completed":
        pass
    events = [driven.journal.read(driven.session, seq) for seq in range(1, last + 1)]
    written = len(stream([event for event in events if event is not None], "write"))
    assert event.interrupted == "enough"
    assert UPLOAD_AHEAD - FILE_DATA_MAX <= written <= UPLOAD_AHEAD + 2 * FILE_DATA_MAX
