"""The main process may die, restart or be upgraded while a command runs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from contracts.messages import Command
from contracts.timing import FILE_DATA_MAX
from tests.harness.processes import alive
from tests.unit.keeper_processes.driving.harness import Driven, eventually, stream, update
from worker_agent.core.inputs import PullWanted
from worker_agent.keeper.settings import KeeperSettings
from worker_agent.keepers.client import Keeper

# A main process that starts a keeper and a command, says so, and waits to be killed.
MAIN = """
import asyncio, json, sys
from pathlib import Path
from contracts.messages import Command
from contracts.timing import FILE_DATA_MAX
from worker_agent.keepers.client import Keeper
from worker_agent.keepers.starting import Starter
from worker_agent.keeper.settings import KeeperSettings

async def main(root, session, settings):
    folder, basedir = str(root / "state/sessions" / session), str(root / "base")
    keeper = await Keeper.open(session=session, folder=folder, basedir=basedir,
                               builddir="b", on_input=lambda news: None, settings=KeeperSettings(**settings),
                               starter=Starter())
    command = "echo begin; while [ ! -e go ]; do sleep 0.02; done; echo end; echo line >> ran"
    keeper.run(Command(n=1, name="shell", args={"workdir": "build", "command": command}, digest="d"))
    print(keeper.pid, flush=True)
    await asyncio.sleep(300)

asyncio.run(main(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])))
"""


def main_process(driven: Driven, root: Path, **settings: object) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, str(root), driven.session, json.dumps(settings)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


async def attach(driven: Driven) -> Keeper:
    keeper = await Keeper.attach(session=driven.session, folder=str(driven.folder), on_input=driven.on_input)
    assert keeper is not None
    driven.keeper = keeper
    return keeper


async def test_a_command_outlives_a_killed_main_process(driven: Driven, tmp_path: Path) -> None:
    """kill -9 of the main process in mid-command; the next one takes it up, and not a byte is missing."""
    process, pid = main_process(driven, tmp_path)
    await eventually(lambda: driven.journal.last_seq(driven.session) >= 3, "output of the command")
    process.kill()
    process.communicate()

    keeper = await attach(driven)
    assert keeper.pid == pid
    assert keeper.running == (1,)
    (driven.build / "build/go").touch()
    events = await driven.completed(1)

    assert stream(events, "stdout") == b"begin\nend\n"
    assert update(events, "rc") == 0
    assert (driven.build / "build/ran").read_text() == "line\n"


async def test_output_while_nobody_is_attached_does_not_silence_the_keeper(driven: Driven) -> None:
    """What is journalled between two main processes is in `hello`; what comes after it is told to the new one."""
    await driven.open()
    n = driven.shell("echo begin; while [ ! -e alone ]; do sleep 0.02; done; echo alone; echo x > said; "
                     "while [ ! -e go ]; do sleep 0.02; done; echo end")  # fmt: skip
    await driven.output(b"begin")
    driven.keeper.detach(60)
    (driven.build / "build/alone").touch()
    await eventually((driven.build / "build/said").exists, "output while nobody is attached")
    await eventually(lambda: driven.journal.last_seq(driven.session) >= 4, "its event in the journal")

    await attach(driven)
    (driven.build / "build/go").touch()
    events = await driven.completed(n)

    assert stream(events, "stdout") == b"alone\nend\n"


async def test_a_known_command_is_not_run_again(driven: Driven) -> None:
    """`run` repeated, as after a lost answer, changes nothing."""
    await driven.open()
    command = Command(n=1, name="shell", args={"workdir": "build", "command": "echo x >> ran"}, digest="d")
    driven.keeper.run(command)
    await driven.completed(1)

    driven.keeper.run(command)
    driven.keeper.run(command.model_copy(update={"n": 2}))
    await driven.completed(2)

    assert (driven.build / "build/ran").read_text() == "x\nx\n"


async def test_without_a_main_process_all_ends_after_the_grace(driven: Driven, tmp_path: Path) -> None:
    """Nobody watches: the keeper kills its command and leaves."""
    process, pid = main_process(driven, tmp_path, orphan_grace=0.5)
    try:
        await eventually(lambda: driven.journal.last_seq(driven.session) >= 3, "output of the command")
    finally:
        process.kill()
        process.communicate()

    await eventually(lambda: not alive(pid), "the keeper to leave")
    assert not mentions(str(driven.build))


async def test_a_planned_restart_gets_more_time(driven: Driven) -> None:
    """After `detach` the command goes on although the grace is over."""
    await driven.open(orphan_grace=0.2)
    n = driven.shell("echo begin; while [ ! -e go ]; do sleep 0.02; done; echo end")
    await driven.output(b"begin")
    driven.keeper.detach(60)
    old = driven.keeper.pid
    gone_at = time.monotonic() + 1.0  # five times the grace
    while time.monotonic() < gone_at:
        assert alive(old)
        await asyncio.sleep(0.05)

    await attach(driven)
    (driven.build / "build/go").touch()
    events = await driven.completed(n)

    assert b"end\n" in stream(events, "stdout")
    assert driven.lost is None


async def test_the_latest_main_process_counts(driven: Driven) -> None:
    """Two attach (a hung one and its successor): the keeper serves the second."""
    await driven.open()
    first = driven.keeper
    await attach(driven)
    first._quiet = True

    events = await driven.run("shell", {"workdir": "build", "command": "echo served"})

    assert stream(events, "stdout") == b"served\n"


async def test_a_download_goes_on_with_the_next_main_process(driven: Driven) -> None:
    """What was asked of the last one is asked again of the next, at once."""
    await driven.open()
    driven.mute = True
    args = {"workdir": "w", "workerdest": "f", "maxsize": None, "blocksize": 16384, "mode": None}
    n = driven.start("downloadFile", args, b"text")
    await eventually(lambda: any(isinstance(news, PullWanted) for news in driven.inputs), "a pull")
    driven.keeper.detach(30)
    driven.inputs.clear()
    driven.mute = False

    await attach(driven)

    assert update(await driven.completed(n), "rc") == 0
    assert (driven.build / "w/f").read_text() == "text"


async def test_what_a_leaving_main_process_has_sent_arrives(driven: Driven) -> None:
    """More of a download than the keeper's socket takes, and its keeper is slow: all of it is there for the file."""
    await driven.open()
    driven.mute = True
    content = os.urandom(4 * FILE_DATA_MAX)
    args = {"workdir": "w", "workerdest": "f", "maxsize": None, "blocksize": 16384, "mode": None}
    n = driven.start("downloadFile", args, content)
    await eventually(lambda: any(isinstance(news, PullWanted) for news in driven.inputs), "a pull")
    driven.keeper.feed(n, 0, len(content), content[:FILE_DATA_MAX])
    await eventually(
        lambda: sum(isinstance(news, PullWanted) for news in driven.inputs) == 4, "the pulls of all that is missing"
    )
    os.kill(driven.keeper.pid, signal.SIGSTOP)
    try:
        for offset in range(FILE_DATA_MAX, len(content), FILE_DATA_MAX):
            driven.keeper.feed(n, offset, len(content), content[offset : offset + FILE_DATA_MAX])
        driven.keeper.detach(30)
    finally:
        os.kill(driven.keeper.pid, signal.SIGCONT)

    await eventually(lambda: (driven.build / "w/f").exists(), "the file, without any main process")
    assert (driven.build / "w/f").read_bytes() == content
    await attach(driven)
    assert update(await driven.completed(n), "rc") == 0


async def in_contact_until_there(driven: Driven, file: Path) -> None:
    """A busy machine takes longer than a fence for the first commands of a shell."""
    while not file.exists():
        driven.keeper.contact()
        await asyncio.sleep(0.02)


async def test_strict_fencing_kills_without_contact(driven: Driven) -> None:
    """No contact for the set time: everything is dead, and the completion says that it was not the command."""
    await driven.open(fencing=2.0)
    n = driven.shell("setsid sleep 300 & echo $! > pid; mv pid below; sleep 300")
    below = driven.build / "build/below"
    await in_contact_until_there(driven, below)
    assert alive(int(below.read_text()))

    events = await driven.completed(n)

    assert "fencing" in (events[-1].infrastructure or "")
    assert not alive(int(below.read_text()))


async def test_contact_keeps_the_fence_up(driven: Driven) -> None:
    """With contact the command goes on past the fencing time."""
    await driven.open(fencing=2.0)
    n = driven.shell("echo begin; while [ ! -e go ]; do sleep 0.02; done")
    until = time.monotonic() + 3.5
    while time.monotonic() < until:
        driven.keeper.contact()
        await asyncio.sleep(0.1)
    (driven.build / "build/go").touch()

    events = await driven.completed(n)

    assert update(events, "rc") == 0
    assert events[-1].infrastructure is None


async def test_a_stopped_keeper_finds_its_fence_down_when_it_goes_on(driven: Driven) -> None:
    """SIGSTOP past the fencing time, then SIGCONT with contact at once: too late all the same."""
    await driven.open(fencing=1.0)
    n = driven.shell("touch begun; sleep 300")
    await in_contact_until_there(driven, driven.build / "build/begun")
    os.kill(driven.keeper.pid, signal.SIGSTOP)
    until = time.monotonic() + 1.3
    while time.monotonic() < until:
        await asyncio.sleep(0.05)
    driven.keeper.contact()
    os.kill(driven.keeper.pid, signal.SIGCONT)

    events = await driven.completed(n)

    assert "fencing" in (events[-1].infrastructure or "")


async def test_a_long_path_does_not_matter(tmp_path: Path) -> None:
    """A unix socket's address has 108 bytes; a state folder may be deeper."""
    driven = Driven(tmp_path / ("deep" * 20) / ("deeper" * 20))
    await driven.open()
    driven.keeper.detach(30)

    await attach(driven)
    events = await driven.run("shell", {"workdir": "build", "command": "echo here"})

    assert stream(events, "stdout") == b"here\n"
    await driven.keeper.close()


@pytest.mark.parametrize("settings", [KeeperSettings()])
async def test_the_journal_and_socket_are_the_owners_only(driven: Driven, settings: KeeperSettings) -> None:
    """What builds print may be secret."""
    await driven.open()
    await driven.run("shell", {"workdir": "build", "command": "true"})

    modes = {file.name: file.stat().st_mode & 0o077 for file in driven.folder.iterdir() if file.name != "keeper.pid"}

    assert set(modes.values()) == {0}, modes
    assert driven.folder.stat().st_mode & 0o077 == 0


def mentions(text: str) -> bool:
    """Does any process' command line?"""
    return any(text in " ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))
