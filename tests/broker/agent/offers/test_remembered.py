"""An agent that starts again takes work on what it found before, verifies it when it is idle, and corrects itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from contracts.messages import Claim
from tests.broker.agent.conftest import OpenMaster, StartAgent
from tests.broker.agent.scripted_master import shell, until

_PROBES = """
[probe.frob]
command = "frob"
timeout = 60
"""
#: It answers when it may, with what its machine has at that time; its own file never changes.
_FROB = """#!/bin/sh
echo run >>{folder}/runs
until test -e {folder}/may; do sleep 0.1; done
cat {folder}/version
"""


class Machine:
    """A program on PATH, and a folder of probes that knows it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "bin" / "frob"
        self.program.parent.mkdir()
        self.program.write_text(_FROB.format(folder=folder))
        self.program.chmod(self.program.stat().st_mode | 0o111)
        (folder / "probes").mkdir()
        (folder / "probes" / "frob.toml").write_text(_PROBES)
        self.answers(True)

    def has(self, version: str) -> None:
        (self.folder / "version").write_text(f"{version}\n")

    def answers(self, may: bool) -> None:
        (self.folder / "may").touch() if may else (self.folder / "may").unlink()

    @property
    def runs(self) -> int:
        runs = self.folder / "runs"
        return len(runs.read_text().splitlines()) if runs.exists() else 0

    @property
    def flags(self) -> tuple[str, ...]:
        return ("--no-auto-capabilities", "--capabilities-d", str(self.folder / "probes"))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setenv("PATH", f"{made.program.parent}{os.pathsep}{os.environ['PATH']}")
    return made


async def test_a_restarted_agent_takes_work_before_it_has_probed(
    machine: Machine, start_agent: StartAgent, open_master: OpenMaster
) -> None:
    """While the probe does not answer it is consuming; the answer, when it comes, counts."""
    machine.has("1.5")
    master = await open_master("frob<2", "frob>=2")
    first = start_agent("agent", *machine.flags)
    await master.status(lambda status: bool(status.agent))
    await master.catalogue("frob<2", "frob>=2")
    await master.wait_for_consumers("frob<2", 1)
    first.kill()
    await master.wait_for_consumers("frob<2", 0)
    machine.answers(False)
    machine.has("2.5")
    runs = machine.runs
    start_agent("agent", *machine.flags)
    await master.wait_for_consumers("frob<2", 1)
    await until(lambda: machine.runs > runs, "the agent to verify what it remembers")
    assert await master.consumers_of("frob<2") == 1
    machine.answers(True)
    await master.wait_for_consumers("frob>=2", 1)
    assert await master.consumers_of("frob<2") == 0


async def test_a_program_that_has_gone_is_not_believed_to_be_there(
    machine: Machine, start_agent: StartAgent, open_master: OpenMaster
) -> None:
    """Its queue is not consumed for a moment."""
    machine.has("1.5")
    master = await open_master("frob", "any")
    first = start_agent("agent", *machine.flags)
    await master.status(lambda status: status.queues == ("cap.any", "cap.frob"))
    first.kill()
    machine.program.unlink()
    second = start_agent("agent", *machine.flags)
    status = await master.status(lambda status: bool(status.queues) and status.epoch > 1)
    assert status.queues == ("cap.any",)
    assert "capabilities_loaded_from_last_run" in second.log


async def test_a_build_is_not_disturbed(machine: Machine, start_agent: StartAgent, open_master: OpenMaster) -> None:
    """Verifying is put off when work comes, and made up for afterwards."""
    machine.has("1.5")
    master = await open_master("frob")
    first = start_agent("agent", *machine.flags)
    await master.wait_for_consumers("frob", 1)
    first.kill()
    await master.wait_for_consumers("frob", 0)
    machine.answers(False)
    runs = machine.runs
    second = start_agent("agent", *machine.flags)
    await until(lambda: machine.runs == runs + 1, "the agent to verify what it remembers")
    await master.offer("frob")
    claim = await master.wait_for(Claim)
    await until(lambda: "probing_postponed" in second.log, "probing to make room for the build")
    machine.answers(True)
    await master.grant(claim)
    await master.start(claim, shell(1, "sleep", "5"))  # longer than an agent must be idle to be probed
    await master.completed(claim, 1)
    assert machine.runs == runs + 1
    await master.release(claim)
    await until(lambda: machine.runs == runs + 2, "the agent to go on with it")
