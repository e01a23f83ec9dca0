"""Signatures and seals between a real master and real agents: they hold whatever carries the messages."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.trust.signing import generate
from tests.harness.agents import Agent
from tests.harness.environment import program_environment
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for
from tests.harness.ways import Way

#: `make test` has the same with RabbitMQ alone: tests/broker/security, tests/buildbot/test_sealing.py.
pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

BRIDGE = str(Path(sys.executable).with_name("master-bridge"))
SIGNED = """
for name in ("gtk", "other"):
    workers = worker.amqp_column(name, workers=1, requires=[name])
    c['workers'] += workers
    builder(name, workers, steps.ShellCommand(name="sh", command="echo $((6 * 7))"))
"""
SEALED = """
c['workers'] = worker.amqp_column("deploy", workers=1, requires=["any"], seal=True)
builder("deploy", c['workers'],
    steps.StringDownload("a secret\\n" * 100_000, workerdest="down", name="down"),
    steps.ShellCommand(name="sh", command="cat down; seq 20000"),
    steps.FileUpload(workersrc="down", masterdest={up!r}, name="up"),
)
"""


def ask(way: Way, *words: str) -> str:
    """What `master-bridge` prints to an operator."""
    commands = 2 if words[0] == "dead" else 1
    command = [BRIDGE, *words[:commands], *way.operators(), *words[commands:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=program_environment(), timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_only_what_the_trusted_key_has_signed_is_followed(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], way: Way, tmp_path: Path
) -> None:
    """Builds and orders: an agent that trusts another key runs nothing and buries the offer, with the reason."""
    for name in ("ours", "theirs"):
        generate(tmp_path / name)
    master = make_master(SIGNED, broker=f"signing_key={str(tmp_path / 'ours')!r}")
    agent = make_agent("a1", capabilities=["gtk"], options=("--trusted-key", str(tmp_path / "ours.pub")))
    doubter = make_agent("a2", capabilities=["other"], options=("--trusted-key", str(tmp_path / "theirs.pub")))
    build = master.finished(master.force("gtk"))
    assert build.result == "SUCCESS", master.log()[-4000:] + agent.log()
    assert master.output(build, "sh") == "42\n"
    other = master.force("other")
    wait_for(lambda: "signed with key" in doubter.log(), 60, doubter.log)
    buried = json.loads(ask(way, "dead", "list", "--json"))
    assert buried
    assert all("signed with key" in each["reason"] for each in buried), buried
    assert master.started(other).steps.keys() <= {"worker_preparation"}, master.describe(other)
    ask(way, "stop", "--match", "gtk")
    wait_for(lambda: "not signed, and this agent has trusted keys" in agent.log(), 60, agent.log)
    assert agent.running
    ask(way, "stop", "--match", "gtk", "--signing-key", str(tmp_path / "ours"))
    wait_for(lambda: not agent.running, 60, agent.log)


def test_a_sealed_build_is_as_any_other(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """Its commands, output and files are encrypted between master and agent; what comes out is what went in."""
    master = make_master(SEALED.format(up=str(tmp_path / "up")))
    agent = make_agent("a1")
    build = master.finished(master.force("deploy"))
    assert build.result == "SUCCESS", master.log()[-4000:] + agent.log()
    assert master.output(build, "sh").startswith("a secret\n" * 100_000)
    assert master.output(build, "sh").endswith("\n20000\n")
    assert (tmp_path / "up").read_text() == "a secret\n" * 100_000
