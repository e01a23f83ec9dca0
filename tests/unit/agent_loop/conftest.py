"""Agents that run on a stage, and what they log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from .stage import Begin, Stage, fake


@pytest.fixture
async def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Begin]:
    """Makes agents that run, each with the settings given. Nothing may fail in them that a test has not planted."""
    fake(monkeypatch)
    stages: list[Stage] = []

    def make(**settings: Any) -> Stage:
        stages.append(Stage(tmp_path / str(len(stages)), **settings))
        return stages[-1]

    yield make
    for stage in stages:
        await stage.close()
    assert [error for stage in stages for error in stage.failed if "planted" not in str(error)] == []


@pytest.fixture
async def stage(begin: Begin) -> Stage:
    """An agent that consumes."""
    return await begin().begin()


@pytest.fixture
def log() -> Any:
    """What is logged."""
    with structlog.testing.capture_logs() as entries:
        yield lambda event: [entry for entry in entries if entry["event"] == event]
