"""Whose process is it? Told by the mark in its environment, where its age cannot tell."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import psutil
import pytest

from tests.harness.waiting import wait_for
from worker_agent.keeper.processes.reaper import MARK, of_another_command


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
    assert of_another_command(left_behind, mark) is other


def test_a_process_without_a_mark_is_nobodys(left_behind: psutil.Process) -> None:
    """It cleared its environment to get away: its age decides."""
    assert not of_another_command(psutil.Process(), "session/2")
