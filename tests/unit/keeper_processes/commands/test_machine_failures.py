"""What the machine does to a command is told as the machine's, and corrupts nothing."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from contracts.messages import Command
from contracts.timing import FAILURE_MAX, LOG_NAME_MAX
from tests.harness.processes import alive
from tests.unit.keeper_processes.driving.harness import Driven, eventually, stream, update

MIB = 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.root
async def test_a_full_disk_under_the_journal_ends_the_command_and_says_so(tmp_path: Path, small_disk: Path) -> None:
    """The command is killed, its completion names the disk, the journal before it is whole; with room it goes on."""
    driven = Driven(tmp_path)
    driven.state.mkdir()
    (driven.state / "sessions").symlink_to(small_disk)
    await driven.open()
    events = await driven.completed(driven.shell("echo $$; while :; do head -c 65536 /dev/zero; done"))

    assert "disk full" in (events[-1].infrastructure or "")
    pid = int(stream(events, "stdout").split(b"\n")[0])
    assert not alive(pid)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))

    # And again: what was set aside for the first report is set aside anew, or the command is not run at all.
    events = await driven.completed(driven.shell("while :; do head -c 65536 /dev/zero; done"))
    assert "disk full" in (events[-1].infrastructure or "")
    assert events[0].kind == "started"
    await driven.keeper.close()


@pytest.mark.root
async def test_a_command_that_fails_on_a_full_disk_did_not_fail_itself(tmp_path: Path, small_disk: Path) -> None:
    """`No space left on device` in the build's folder."""
    driven = Driven(tmp_path)
    driven.base = small_disk
    driven.build = small_disk / "b"
    await driven.open()

    events = await driven.completed(driven.shell("head -c 100000000 /dev/zero > big"))

    assert update(events, "rc") != 0
    assert "disk full" in (events[-1].infrastructure or "")
    assert str(small_disk) in (events[-1].infrastructure or "")
    await driven.keeper.close()


@pytest.mark.root
async def test_a_download_onto_a_full_disk_is_the_machines_failure(tmp_path: Path, small_disk: Path) -> None:
    """No half file is left, so the disk is not full any more when the command has ended; it is said all the same."""
    driven = Driven(tmp_path)
    driven.base = small_disk
    driven.build = small_disk / "b"
    await driven.open()
    args = {"workdir": "w", "workerdest": "f", "maxsize": None, "blocksize": 16384, "mode": None}

    events = await driven.run("downloadFile", args, b"x" * 8 * MIB)

    assert update(events, "rc") == 1
    assert "disk full" in (events[-1].infrastructure or "")
    assert list((driven.build / "w").iterdir()) == []
    await driven.keeper.close()


@pytest.mark.root
async def test_packing_onto_a_full_disk_is_the_machines_failure(tmp_path: Path, small_disk: Path) -> None:
    """The archive of `uploadDirectory` is made in the temporary folder."""
    driven = Driven(tmp_path)
    await driven.open({"PATH": "/usr/bin:/bin", "TMPDIR": str(small_disk)})
    (driven.build / "d").mkdir()
    (driven.build / "d/f").write_bytes(b"x" * 8 * MIB)
    args = {"workdir": ".", "workersrc": "d", "maxsize": None, "blocksize": 16384, "compress": None}

    events = await driven.run("uploadDirectory", args)

    assert update(events, "rc") == 1
    assert "disk full" in (events[-1].infrastructure or "")
    await driven.keeper.close()


async def test_no_more_processes_is_the_machines_failure(driven: Driven) -> None:
    """The keeper cannot start another process: the completion says it in words, and the next command may run again."""
    await driven.open()
    keeper = psutil.Process(driven.keeper.pid)
    before = keeper.rlimit(resource.RLIMIT_NOFILE)
    keeper.rlimit(resource.RLIMIT_NOFILE, (keeper.num_fds() + 1, before[1]))  # the journal takes one

    events = await driven.completed(driven.shell("true"))
    assert "cannot start a process" in (events[-1].infrastructure or "")
    assert update(events, "rc") is None

    keeper.rlimit(resource.RLIMIT_NOFILE, before)
    assert update(await driven.completed(driven.shell("true")), "rc") == 0


async def test_a_journal_that_cannot_be_opened_is_said(driven: Driven) -> None:
    """No descriptor is left for it: the session is lost, and its build hears why."""
    await driven.open()
    keeper = psutil.Process(driven.keeper.pid)
    keeper.rlimit(resource.RLIMIT_NOFILE, (keeper.num_fds(), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

    driven.shell("true")
    await eventually(lambda: driven.lost is not None, "the loss is told")

    assert driven.lost is not None
    assert "cannot journal: [Errno 24]" in driven.lost.reason


async def test_an_ordinary_failure_is_the_commands(driven: Driven) -> None:
    """Nothing is blamed on the machine without a sign of it."""
    await driven.open()

    for command in ("exit 1", "kill -9 $$", "exit 137", "echo No space left on device >&2; exit 1"):
        events = await driven.completed(driven.shell(command))
        assert events[-1].infrastructure is None, command


async def test_an_interrupt_before_the_start_is_remembered_in_the_journal(driven: Driven) -> None:
    """Rule 14: started and completed as interrupted, and nothing was run."""
    await driven.open()
    command = Command(n=1, name="shell", args={"workdir": "build", "command": "touch ran"}, digest="d")
    driven.keeper.complete_unstarted(command, "stopped early")

    events = await driven.completed(1)

    assert [event.kind for event in events] == ["started", "completed"]
    assert events[0].value == {"name": "shell", "digest": "d"}
    assert events[-1].interrupted == "stopped early"
    assert not (driven.build / "build").exists()


async def test_an_interrupt_of_what_does_not_run_is_nothing(driven: Driven) -> None:
    await driven.open()
    n = driven.shell("true")
    before = await driven.completed(n)
    driven.keeper.interrupt(n, "late")
    driven.keeper.interrupt(99, "wrong")

    after = await driven.completed(driven.shell("echo next"))

    assert before[-1].interrupted is None
    assert stream(after, "stdout") == b"next\n"
    assert after[0].seq == before[-1].seq + 1


async def test_rmdir_tries_again_after_a_chmod(driven: Driven, tmp_path: Path) -> None:
    """When the first `rm` fails, as on a folder that may not be read; the `rm` here fails once, whoever runs it."""
    tools = tmp_path / "tools"
    tools.mkdir()
    rm = tools / "rm"
    rm.write_text(f'#!/bin/sh\n[ -e {tools}/failed ] && exec /bin/rm "$@"\ntouch {tools}/failed\nexit 1\n')
    rm.chmod(0o755)
    await driven.open({"PATH": f"{tools}:/usr/bin:/bin"})
    (driven.build / "a").mkdir()

    events = await driven.run("rmdir", {"dir": "a"})

    headers = stream(events, "header").decode()
    assert headers.count("rm -rf") == 2
    assert headers.count("chmod -Rf u+rwx") == 1
    assert update(events, "rc") == 0
    assert not (driven.build / "a").exists()
    assert events[-1].infrastructure is None


async def test_a_keeper_that_is_told_to_end_leaves_nothing(driven: Driven) -> None:
    """SIGTERM, as from a service manager: processes first, then the keeper; reported once, with words for people."""
    await driven.open()
    driven.shell("setsid sleep 300 & echo $!; sleep 300")
    event = await driven.next()
    while event.kind != "stdout":
        event = await driven.next()
    psutil.Process(driven.keeper.pid).terminate()

    await eventually(lambda: driven.lost is not None, "KeeperLost")

    assert driven.lost is not None
    assert "SIGTERM" in driven.lost.reason
    assert not alive(int(event.data))


async def test_more_names_than_fit_into_a_message_are_an_error(driven: Driven) -> None:
    """Not cut, and not a message that the broker's other end would throw away."""
    await driven.open()
    folder = driven.build / "d"
    folder.mkdir()
    for number in range(17000):
        (folder / f"{number:0250d}").touch()

    events = await driven.run("listdir", {"dir": "d"})

    assert "17000 names" in events[-1].value
    assert update(events, "files") is None


async def test_a_very_long_failure_is_cut(driven: Driven) -> None:
    """Its text is in one message; who reads it learns how long it was."""
    await driven.open()

    events = await driven.completed(driven.shell("true", env={"L" * 6_000_000: 1}))

    assert "must be strings or lists" in events[-1].value
    assert len(events[-1].value) < 2 * FAILURE_MAX
    assert "60000" in events[-1].value[-40:]


async def test_the_name_of_a_log_file_has_a_limit(driven: Driven) -> None:
    """It goes into a header, and a header into one frame."""
    await driven.open()

    events = await driven.completed(driven.shell("true", logfiles={"ü" * 1500: "f"}))

    assert f"3002 bytes long, more than {LOG_NAME_MAX}" in events[-1].value
    assert not [event for event in events if event.kind == "stdout"]
