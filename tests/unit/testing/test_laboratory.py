"""What a laboratory of faults says of its processes holds for its agents themselves, too."""

from __future__ import annotations

from pathlib import Path

from tests.faults.laboratory.lab import Lab
from tests.harness.waiting import wait_for
from tests.harness.ways import OverRabbitMQ


def test_an_agent_is_among_the_processes_of_its_laboratory_until_it_has_ended(tmp_path: Path) -> None:
    """`no process is left` would say nothing of an agent that it does not find."""
    lab = Lab(tmp_path / "lab", None, "", tmp_path / "none", OverRabbitMQ("amqp://u:p@127.0.0.1:1/"))
    try:
        agent = lab.agent("a1", wait=False)
        other = lab.agent("a2", wait=False)
        wait_for(lambda: all("agent_started" in each.log() for each in lab.agents), 60, "both run")
        assert {agent.pid, other.pid} <= {process.pid for process in lab.processes()}
        assert agent.pid in {process.pid for process in lab.processes_of(agent)}
        assert other.pid not in {process.pid for process in lab.processes_of(agent)}
    finally:
        lab.end()
    assert not lab.processes()
