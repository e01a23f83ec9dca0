"""A Stop that comes in the very moment in which a process is about to be started."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from worker_agent.keeper.file_thread import FileThread, Interrupted
from worker_agent.keeper.processes.process import ProcessOptions, RunProcess


class Told:
    """Takes what a process tells, and is asked for nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


async def test_it_is_not_lost(tmp_path: Path) -> None:
    """The last look at the disk has come back, and its answer is not read yet: nothing is started then."""
    host = SimpleNamespace(encoding="utf-8", environ=dict(os.environ))
    command = ["touch", str(tmp_path / "ran")]
    process = RunProcess(host, Told(), FileThread(), command, str(tmp_path), ProcessOptions())  # type: ignore[arg-type]
    look = process._reach

    def stopped_meanwhile() -> OSError | None:
        process.kill("command interrupted")
        return look()

    process._reach = stopped_meanwhile  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        await process.run()
    assert not (tmp_path / "ran").exists()
