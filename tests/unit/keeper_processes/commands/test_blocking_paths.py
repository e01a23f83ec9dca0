"""Whatever a path is, the keeper's loop goes on: other commands run, time limits are kept, and a Stop is one."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import tarfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.unit.keeper_processes.driving.harness import Driven, stream, update
from tests.unit.keeper_processes.driving.hung_mount import hung_mount

UPLOAD = {"workdir": "", "maxsize": None, "blocksize": 4096, "keepstamp": False}
DOWNLOAD = {"workdir": "", "maxsize": None, "blocksize": 4096, "mode": None}
#: Buildbot's side waits 30 s for the end of an interrupted command; a loop that is blocked would never tell.
STOPPED_WITHIN = 20.0

ODD: dict[str, tuple[str, Mapping[str, Any]]] = {
    "upload of a FIFO": ("uploadFile", {**UPLOAD, "workersrc": "fifo"}),
    "upload of a FIFO with its times": ("uploadFile", {**UPLOAD, "workersrc": "fifo", "keepstamp": True}),
    "upload of a terminal": ("uploadFile", {**UPLOAD, "workersrc": "terminal"}),
    "upload of an endless device": ("uploadFile", {**UPLOAD, "workersrc": "/dev/zero"}),
    "upload of a file on a hung mount": ("uploadFile", {**UPLOAD, "workersrc": "hung/file"}),
    "upload of a hung folder": ("uploadDirectory", {**UPLOAD, "workersrc": "hung", "compress": None}),
    "upload of a folder with one that hangs": ("uploadDirectory", {**UPLOAD, "workersrc": "", "compress": "gz"}),
    "download into a FIFO": ("downloadFile", {**DOWNLOAD, "workerdest": "fifo"}),
    "download into a hung folder": ("downloadFile", {**DOWNLOAD, "workerdest": "hung/new/file"}),
    "stat": ("stat", {"file": "hung/file"}),
    "glob": ("glob", {"path": "hung/**"}),
    "listdir": ("listdir", {"dir": "hung"}),
    "mkdir": ("mkdir", {"dir": "hung/folder"}),
    "rmdir": ("rmdir", {"dir": "hung/folder"}),
    "rmfile": ("rmfile", {"path": "hung/file"}),
    "cpdir from": ("cpdir", {"fromdir": "hung/folder", "todir": "copy"}),
    "cpdir to": ("cpdir", {"fromdir": "folder", "todir": "hung/a/copy"}),
    "a workdir": ("shell", {"workdir": "hung/w", "command": "true"}),
    "a program": ("shell", {"workdir": "w", "command": ["../hung/program"]}),
    "a folder of PATH": ("shell", {"workdir": "w", "command": ["no-such-program"], "env": {"PATH": "../hung"}}),
    "a log file": ("shell", {"workdir": "w", "command": "sleep 300", "logfiles": {"log": "../hung/log"}}),
}


HANGS = [
    case for case, (_, args) in ODD.items() if "hung" in str(args) or case == "upload of a folder with one that hangs"
]


@pytest.fixture
def odd(driven: Driven) -> Iterator[None]:
    """Names in the build's folder that are no files."""
    driven.build.mkdir(parents=True)
    os.mkfifo(driven.build / "fifo")
    (driven.build / "folder").mkdir()
    master, terminal = os.openpty()
    (driven.build / "terminal").symlink_to(os.ttyname(terminal))
    yield
    os.close(master)
    os.close(terminal)


@pytest.fixture
def hung(odd: None, driven: Driven) -> Iterator[None]:
    """And a folder on a disk that does not answer."""
    with hung_mount(driven.build / "hung"):
        yield


async def stopped(driven: Driven, case: str) -> None:
    """The command hangs, others run, a Stop ends it."""
    await driven.open()
    name, args = ODD[case]
    n = driven.start(name, args, content=b"x" * 3_000_000)
    other = await driven.completed(driven.shell("echo lives"))
    began = time.monotonic()
    driven.keeper.interrupt(n, "enough")
    events = await driven.completed(n)

    assert stream(other, "stdout") == b"lives\n"
    assert events[-1].interrupted == "enough"
    assert time.monotonic() - began < STOPPED_WITHIN


@pytest.mark.usefixtures("odd")
@pytest.mark.parametrize("case", [case for case in ODD if case not in HANGS])
async def test_a_stop_ends_a_command_that_waits_for_a_file(driven: Driven, case: str) -> None:
    """A FIFO, a terminal or an endless device."""
    await stopped(driven, case)


@pytest.mark.root
@pytest.mark.usefixtures("hung")
@pytest.mark.parametrize("case", HANGS)
async def test_a_stop_ends_a_command_that_hangs_on_a_dead_mount(driven: Driven, case: str) -> None:
    """Whichever the command is."""
    await stopped(driven, case)


@pytest.mark.usefixtures("odd")
@pytest.mark.parametrize("limit", ["timeout", "maxTime"])
async def test_time_limits_are_kept_beside_a_log_file_that_is_a_fifo(driven: Driven, limit: str) -> None:
    """Nobody ever writes into it."""
    await driven.open()

    events = await driven.completed(driven.shell("exec sleep 300", logfiles={"log": "../fifo"}, **{limit: 1}))

    assert update(events, "failure_reason") == {"timeout": "timeout_without_output", "maxTime": "timeout"}[limit]


@pytest.mark.root
@pytest.mark.usefixtures("hung")
@pytest.mark.parametrize("limit", ["timeout", "maxTime"])
@pytest.mark.parametrize("case", ["a workdir", "a program"])
async def test_a_time_limit_ends_a_command_that_cannot_start(driven: Driven, case: str, limit: str) -> None:
    """The time of a command runs from the attempt to start it."""
    await driven.open()
    name, args = ODD[case]

    events = await driven.completed(driven.start(name, {**args, limit: 1}))

    assert update(events, "rc") == -1
    assert update(events, "failure_reason") == {"timeout": "timeout_without_output", "maxTime": "timeout"}[limit]
    assert b"does not answer" in stream(events, "header")


@pytest.mark.usefixtures("odd")
async def test_what_is_written_into_a_log_file_that_is_a_fifo_is_sent(driven: Driven) -> None:
    """Its writer does not wait for ever for a reader."""
    await driven.open()

    events = await driven.completed(driven.shell("echo hello > ../fifo", logfiles={"log": "../fifo"}))

    assert update(events, "rc") == 0
    assert stream(events, "log") == b"hello\n"


async def test_a_command_with_an_endless_log_file_ends(driven: Driven) -> None:
    """What is no file is not read to its end."""
    await driven.open()
    n = driven.shell("true", logfiles={"log": {"filename": "/dev/zero", "follow": False}})
    driven.keeper.trim(10**9)

    events = await driven.completed(n)

    assert update(events, "rc") == 0


@pytest.mark.usefixtures("odd")
async def test_a_folder_with_odd_members_is_uploaded(driven: Driven) -> None:
    """FIFOs and devices are members without content, sockets are left out."""
    await driven.open()
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listening:
        here = os.getcwd()
        os.chdir(driven.build)
        listening.bind("socket")
        os.chdir(here)
        events = await driven.run("uploadDirectory", {**UPLOAD, "workersrc": "", "compress": None})

    assert update(events, "rc") == 0
    with tarfile.open(fileobj=io.BytesIO(stream(events, "write"))) as archive:
        kinds = {Path(member.name).name: member.type for member in archive}
    assert kinds["fifo"] == tarfile.FIFOTYPE
    assert "socket" not in kinds
