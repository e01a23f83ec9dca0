"""Disks that are full, read-only, broken or gone: the agent stays, says so, and is well again when the disk is."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contracts.messages import Claim, Status
from contracts.testing.rabbitmq.node import RabbitMQNode
from tests.broker.agent.conftest import OpenMaster, StartAgent, close_connections
from tests.broker.agent.scripted_master import ScriptedMaster, shell, until
from tests.faults.laboratory.full_disk import file_system, fill

#: ioctl of ext4 and XFS that lets a file system fail as a dead disk does (EXT4_IOC_SHUTDOWN, without flushing).
_SHUTDOWN, _NO_FLUSH = 0x8004587D, struct.pack("I", 2)
SMALL = ("--min-free-disk", "4MiB", "--min-free-temp", "0", "--cache-free-disk", "0")


def _do(*command: object) -> None:
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def _ext4(folder: Path) -> Iterator[Path]:
    image = folder.with_suffix(".ext4")
    with image.open("wb") as file:
        file.truncate(32 * 2**20)
    _do("mkfs.ext4", "-q", "-F", image)
    folder.mkdir()
    _do("mount", "-o", "loop", image, folder)
    try:
        yield folder
    finally:
        _do("umount", "--lazy", folder)


Heal = Callable[[], object]


def _full(folder: Path) -> Heal:
    return fill(folder, leave=0).unlink


def _read_only(folder: Path) -> Heal:
    _do("mount", "--bind", folder, folder)
    _do("mount", "-o", "remount,bind,ro", folder)
    return lambda: _do("umount", "--lazy", folder)


def _broken(folder: Path) -> Heal:
    handle = os.open(folder, os.O_RDONLY)
    fcntl.ioctl(handle, _SHUTDOWN, _NO_FLUSH)
    os.close(handle)

    def heal() -> None:
        _do("umount", "--lazy", folder)
        _do("mount", "-t", "tmpfs", "tmpfs", folder)

    return heal


def _gone(folder: Path) -> Heal:
    """Nothing is mounted any more, and its place takes nothing."""
    _do("mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=1", "tmpfs", folder)
    return lambda: _do("umount", "--lazy", folder)


BREAKS = {"full": _full, "read-only": _read_only, "broken": _broken, "gone": _gone}


async def _runs_a_build(master: ScriptedMaster) -> None:
    offer = await master.offer()
    claim = await master.wait_for(Claim, lambda claim: claim.offer == offer.offer)
    await master.grant(claim)
    await master.build(claim, [shell(1, "echo", "well")])
    assert b"well\n" in [event.data for event in master.events(claim.session)]


async def _status(master: ScriptedMaster, state: str) -> Status:
    """The next one of this state."""
    heard = len(master.received)
    found: Status = await until(
        lambda: next((m for m in master.received[heard:] if isinstance(m, Status) and m.state == state), None),
        f"a status that says {state}",
    )
    return found


@pytest.mark.root
@pytest.mark.parametrize(
    "how", ["full", "broken", *(pytest.param(how, marks=pytest.mark.long) for how in ("read-only", "gone"))]
)
async def test_the_agents_disk_fails_and_is_well_again(
    start_agent: StartAgent, open_master: OpenMaster, node: RabbitMQNode, tmp_path: Path, how: str
) -> None:
    """State and builds are on it. Meanwhile the agent takes no work, makes its link anew, and can be ended."""
    master = await open_master("any")
    small = _ext4(tmp_path / "small") if how == "broken" else file_system(tmp_path / "small", 32)
    with small as folder:
        place = {"WORKER_AGENT_STATE": str(folder / "state")}
        name = f"disk-{how}-{os.urandom(3).hex()}"
        agent = start_agent(name, *SMALL, environment=place)
        await _runs_a_build(master)
        heal = BREAKS[how](folder)
        unwell = await _status(master, "unwell")
        assert str(folder) in unwell.reasons[0]
        await master.offer()
        close_connections(node, name)
        again = await master.status(lambda status: status.epoch > unwell.epoch)
        assert again.state == "unwell"
        assert agent.child.running
        heal()
        await _status(master, "ready")
        await master.wait_for(Claim, lambda claim: claim.epoch >= again.epoch)
        await until(
            lambda: json.loads((folder / "state" / "instance.json").read_text())["epoch"] >= again.epoch,
            "the epoch to be written down",
        )
        assert "part_failed" not in agent.log
        agent.signal(signal.SIGTERM)
        agent.signal(signal.SIGTERM)
        await until(lambda: not agent.child.running, "the agent to end")


@pytest.mark.root
async def test_a_start_on_a_full_disk(start_agent: StartAgent, open_master: OpenMaster, tmp_path: Path) -> None:
    """Killed and started again while not a byte is left: it is the agent that it was, with greater epochs."""
    master = await open_master("any")
    with file_system(tmp_path / "small", 32) as folder:
        place = {"WORKER_AGENT_STATE": str(folder / "state")}
        first = start_agent("agent", *SMALL, environment=place)
        before = await _status(master, "ready")
        first.kill()
        heal = _full(folder)
        start_agent("agent", *SMALL, environment=place)
        unwell = await _status(master, "unwell")
        assert (unwell.instance, unwell.epoch > before.epoch) == (before.instance, True)
        heal()
        await _runs_a_build(master)


@pytest.mark.root
async def test_no_first_start_on_a_disk_that_takes_nothing(start_agent: StartAgent, tmp_path: Path) -> None:
    """An agent that nobody would know again does not begin; it says what to do."""
    with file_system(tmp_path / "small", 1) as folder:
        _full(folder)
        heal = _read_only(folder)
        agent = start_agent(environment={"WORKER_AGENT_STATE": str(folder / "state")})
        assert agent.child.wait(60) == 73, agent.log
        assert "cannot be used" in agent.log
        assert "Traceback" not in agent.log
        heal()


@pytest.mark.root
async def test_mount_points_among_build_directories(
    start_agent: StartAgent, open_master: OpenMaster, tmp_path: Path
) -> None:
    """What is mounted at or in one is nobody's cache: it stays, is named once, and the others are removed."""
    master = await open_master("any")
    slot = tmp_path / "builds" / "m1" / "slot-0"
    slot.mkdir(parents=True)
    (slot / "plain").mkdir()
    (slot / "outer").mkdir()
    with file_system(slot / "mounted", 1) as mounted, file_system(slot / "outer" / "inner", 1) as inner:
        for folder in (mounted, inner):
            (folder / "precious").touch()
        agent = start_agent("agent", "--basedir", str(tmp_path / "builds"), "--cache-free-disk", "1000TiB")
        await until(lambda: agent.log.count("build_directory_not_removed") == 2, "the agent to name both")
        await until(lambda: not (slot / "plain").exists(), "the other one to go")
        await _runs_a_build(master)
        assert (mounted / "precious").exists()
        assert (inner / "precious").exists()
        assert agent.child.running


@pytest.mark.parametrize("what", ["base directory", "place of the base directory", "folder of a master"])
async def test_folders_that_cannot_be_made(
    start_agent: StartAgent, open_master: OpenMaster, tmp_path: Path, what: str
) -> None:
    """A file is in the place of one: unwell and named, not one RETRY after the other; well when it is gone."""
    master = await open_master("any")
    base = tmp_path / "place" / "builds"
    blocked = {"base directory": base, "place of the base directory": base.parent}.get(what, base / "m1")
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.touch()
    agent = start_agent("agent", "--basedir", str(base))
    if blocked.name == "m1":  # which nobody can know before a build of that master comes
        offer = await master.offer()
        claim = await master.wait_for(Claim)
        await master.grant(claim)
        master.done.add(offer.offer)
    unwell = await _status(master, "unwell")
    assert str(blocked) in unwell.reasons[0]
    await master.wait_for_consumers("any", 0)
    blocked.unlink()
    await _status(master, "ready")
    await _runs_a_build(master)
    assert "Traceback" not in agent.log
