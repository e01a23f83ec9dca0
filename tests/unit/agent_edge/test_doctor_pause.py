"""An agent that takes no work because somebody paused it: its machine's doctor says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker_agent.agent.pause import PauseFile
from worker_agent.program.doctor import examine
from worker_agent.program.settings import Settings


@pytest.mark.parametrize("text", ["", "[]", '{"reason', "[" * 100_000])
def test_a_pause_whose_file_cannot_be_read_lasts(tmp_path: Path, text: str) -> None:
    """Better a machine that waits for its operator than work for one that is being repaired."""
    (tmp_path / "paused.json").write_text(text)
    assert PauseFile(tmp_path).reason == "asked by an operator"


@pytest.mark.parametrize("paused", [True, False])
async def test_a_pause_is_found(tmp_path: Path, paused: bool) -> None:
    """With its reason, and what ends it; without one nothing is said of it."""
    state = tmp_path / "state"
    state.mkdir()
    if paused:
        PauseFile(state).begin("asked by an operator: new disk")
    settings = Settings(name="a1", state=state, basedir=tmp_path / "builds", capabilities_d=())
    findings = {finding.check: finding for finding in await examine(settings)}
    if paused:
        assert findings["new work"].verdict == "warn"
        assert findings["new work"].seen == "it is paused: asked by an operator: new disk"
        assert "master-bridge resume" in findings["new work"].remedy
    else:
        assert "new work" not in findings
