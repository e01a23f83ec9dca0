"""A master's death in the middle of a pipeline. The long one, of 2,000 steps, is in tests/faults."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.buildbot.pipelines.killed import CONFIG, check_once, kill_through
from tests.harness.agents import Agent
from tests.harness.master import BuildMaster

STEPS = 40


@pytest.mark.long
def test_no_command_runs_twice(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """The program's lines come back from the journal; the same steps are answered from it, here and elsewhere."""
    file = tmp_path / "ran"
    master = make_master(CONFIG.format(steps=STEPS, ran=file, python=sys.executable))
    make_agent("a1", capabilities=["make"], slots=2)
    make_agent("a2", slots=2)
    request = master.force("b")
    build = kill_through(master, request, file, steps=STEPS, kills=1, patience=120)
    assert [each.result for each in master.builds(request)] == ["RETRY", "SUCCESS"]
    check_once(master, build, file, steps=STEPS)
