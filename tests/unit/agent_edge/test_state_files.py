"""Files of the state folder are read at once, whatever somebody has put in their place."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from worker_agent.agent.instance import Instance
from worker_agent.agent.moving import MovedFile
from worker_agent.agent.pause import PauseFile
from worker_agent.agent.told import ToldSignatures
from worker_agent.capabilities import findings
from worker_agent.capabilities.options import DetectOptions
from worker_agent.keeper.files import read_text
from worker_agent.keepers import metas
from worker_agent.reporting import columns

READERS: dict[str, Callable[[Path], object]] = {
    "paused.json": lambda file: PauseFile(file.parent).reason,
    "moved.json": lambda file: MovedFile.of(file.parent).read("amqp://broker/"),
    "instance.json": lambda file: Instance(file.parent).close(),
    "catalogues.json": lambda file: ToldSignatures(lambda: ()).read(file),
    "capabilities.json": lambda file: findings.read(file, DetectOptions(auto=False)),
    "told.json": lambda file: columns._read(file.parent),
    "s1/meta.json": lambda file: list(metas.find(str(file.parent.parent))),
    "any": read_text,
}


@pytest.mark.parametrize("writer", [False, True])
@pytest.mark.parametrize("name", READERS)
@pytest.mark.timeout(60)
def test_a_pipe_keeps_nobody_waiting(tmp_path: Path, name: str, writer: bool) -> None:
    """Neither one that nobody writes to nor one whose writer writes nothing: an agent did not start."""
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    os.mkfifo(file)
    held = os.open(file, os.O_RDWR) if writer else None
    try:
        READERS[name](file)
    finally:
        if held is not None:
            os.close(held)
