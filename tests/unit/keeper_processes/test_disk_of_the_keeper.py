"""A keeper whose own disk takes nothing: its log cannot be written, or it cannot even begin."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

import psutil
import pytest

from tests.unit.keeper_processes.driving.harness import PATIENCE, Driven
from worker_agent.core.inputs import KeeperLost
from worker_agent.keeper.wire import LOG, SOCKET
from worker_agent.keepers.client import KeeperFailed


async def test_a_log_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    """It goes to a full disk: a stranger that sends nonsense is turned away, and the end is in order and told."""
    driven = Driven(tmp_path)
    driven.folder.mkdir(parents=True)
    (driven.folder / LOG).symlink_to("/dev/full")
    await driven.open()
    await driven.completed(driven.shell(["echo", "well"]))
    with socket.socket(socket.AF_UNIX) as stranger:
        short = tmp_path / "s"
        short.symlink_to(driven.folder)
        stranger.connect(os.fspath(short / SOCKET))
        stranger.sendall(b"nonsense\n")
        stranger.settimeout(PATIENCE)
        while stranger.recv(65536):
            continue  # its hello; then it is closed
    pid = driven.keeper.pid
    os.kill(pid, signal.SIGTERM)
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not any(isinstance(news, KeeperLost) for news in driven.inputs):
        assert asyncio.get_running_loop().time() < deadline, driven.inputs
        await asyncio.sleep(0.02)
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize("name", ["keeper.log", "keeper.pid"])
async def test_a_keeper_that_cannot_begin_says_why(tmp_path: Path, name: str) -> None:
    """The reason comes to the main process, which tells the build's page; not "it said nothing"."""
    driven = Driven(tmp_path)
    (driven.folder / name).mkdir(parents=True)
    with pytest.raises(KeeperFailed, match=f"cannot .*{name}"):
        await driven.open()
