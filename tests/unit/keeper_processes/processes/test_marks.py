"""What the system tells of a process's environment is what its mark is read from (belonging.py decides)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import psutil
import pytest

from tests.harness.waiting import wait_for
from worker_agent.keeper.processes.belonging import MARK, of_another_command
from worker_agent.keeper.processes.reaper import environment


@pytest.fixture
def left_behind() -> Iterator[psutil.Process]:
    """What the first command of a session left running."""
    process = subprocess.Popen(["sleep", "60"], env={**os.environ, MARK: "session/1"})
    left = psutil.Process(process.pid)
    wait_for(lambda: MARK in left.environ(), 60, "its environment is there: empty for a moment of the exec")
    yield left
    process.kill()
    process.wait()


@pytest.mark.parametrize(("mark", "other"), [("session/2", True), ("session/1", False), ("another/2", False)])
def test_what_an_earlier_command_left_is_not_the_next_ones(left_behind: psutil.Process, mark: str, other: bool) -> None:
    """An interrupt of command 2 killed it when both were started within a hundredth of a second."""
    assert of_another_command(environment(left_behind.pid), mark) is other


def test_a_process_without_a_mark_is_nobodys() -> None:
    """It cleared its environment to get away: its age decides."""
    assert not of_another_command(environment(os.getpid()), "session/2")


def test_a_process_that_is_gone_has_no_environment(left_behind: psutil.Process) -> None:
    """Also one that nobody has collected yet."""
    left_behind.kill()
    wait_for(lambda: left_behind.status() == psutil.STATUS_ZOMBIE, 60, "its end")
    assert environment(left_behind.pid) == b""
