"""Bytes that are no UTF-8, wherever a machine may have them: the agent works, and masters read U+FFFD."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from contracts.digest import command_digest
from contracts.messages import Claim, Command, Event
from tests.broker.agent.conftest import OpenMaster, StartAgent
from tests.broker.agent.scripted_master import ScriptedMaster, shell, until

#: As Python holds the byte E9 of a name that is no UTF-8 (PEP 383).
ODD = "caf\udce9"
SEEN = "caf\ufffd"


def _command(n: int, name: str, **args: Any) -> Command:
    return Command(n=n, name=name, args=args, digest=command_digest(name, args))


def _update(events: list[Event], n: int, key: str) -> Any:
    return next(event.value[1] for event in events if event.n == n and event.kind == "update" and event.value[0] == key)


async def _claim(master: ScriptedMaster) -> Claim:
    await master.offer()
    claim = await master.wait_for(Claim)
    await master.grant(claim)
    return claim


async def test_the_environment(start_agent: StartAgent, open_master: OpenMaster) -> None:
    """Names and values of variables: commands get the bytes as they are."""
    master = await open_master("any")
    agent = start_agent(environment={"CAFE": ODD, ODD: "name", "LC_ALL": "C", "PATH": f"/{ODD}:{os.environ['PATH']}"})
    claim = await _claim(master)
    assert (claim.worker.environ["CAFE"], claim.worker.environ[SEEN]) == (SEEN, "name")
    await master.build(claim, [shell(1, "sh", "-c", 'printf %s "$CAFE"; cat /no/such/dir')])
    output = b"".join(event.data for event in master.events(claim.session) if event.kind == "stdout")
    assert output == b"caf\xe9"
    header = b"".join(event.data for event in master.events(claim.session) if event.kind == "header")
    header.decode()
    assert "Traceback" not in agent.log


async def test_folders_files_and_programs(start_agent: StartAgent, open_master: OpenMaster, tmp_path: Path) -> None:
    """The agent's own folders, what lies in a build directory, and a program that is called so."""
    master = await open_master("any")
    home = tmp_path / ODD
    home.mkdir()
    agent = start_agent(
        "agent", "--basedir", str(home / "builds"), "--admin", ODD, "--host", ODD, "--access-uri", f"ssh://{ODD}",
        environment={"WORKER_AGENT_STATE": str(home / "state"), "WORKER_AGENT_NONSENSE": ODD, "HOME": str(home)},
    )  # fmt: skip
    claim = await _claim(master)
    assert SEEN in claim.worker.basedir
    assert (claim.worker.admin, claim.worker.host, claim.worker.access_uri) == (SEEN, SEEN, f"ssh://{SEEN}")
    build = home / "builds" / "m1" / "slot-0" / "builder"
    await until(build.is_dir, "the build directory")
    (build / ODD).mkdir()
    program = build / ODD / "program"
    program.write_text("#!/bin/sh\nprintf 'caf\\351\\n'; printf 'caf\\351\\n' >&2; exit 3\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    commands = [
        _command(1, "listdir", dir="."),
        _command(2, "glob", path="caf*"),
        shell(3, "sh", "-c", "exec ../caf*/program"),
        shell(4, "sh", "-c", "exec ../caf*/none"),
        _command(5, "stat", file="missing"),
        _command(6, "mkdir", dir="made"),
        _command(7, "rmdir", dir="made"),
    ]
    await master.build(claim, commands)
    events = master.events(claim.session)
    assert SEEN in _update(events, 1, "files")
    assert [name.rpartition("/")[2] for name in _update(events, 2, "files")] == [SEEN]
    assert _update(events, 3, "rc") == 3
    assert b"caf\xe9\n" in [event.data for event in events if event.n == 3 and event.kind == "stdout"]
    assert [event.value for event in events if event.kind == "completed"] == [None] * 7
    assert "Traceback" not in agent.log
    assert "caf\\udce9" in agent.log  # its log is UTF-8, and tells of its folders


@pytest.mark.root
async def test_the_hosts_name(start_agent: StartAgent, open_master: OpenMaster) -> None:
    """An agent that nobody named is called after its host, whatever that is called."""
    master = await open_master("any")
    set_name = 'python3 -c "import socket; socket.sethostname(b\'caf\\351\')"; exec "$@"'
    agent = start_agent(prefix=("unshare", "--uts", "sh", "-c", set_name, "sh"), named=False)
    claim = await _claim(master)
    assert claim.agent == SEEN
    await master.build(claim, [shell(1, "hostname")])
    await master.status(lambda status: status.agent == SEEN)
    assert "Traceback" not in agent.log


async def test_what_an_operator_says(start_agent: StartAgent, open_master: OpenMaster) -> None:
    """A capability or a name with such bytes is refused in plain words."""
    await open_master("any")
    for flags in (("--capability", f"x={ODD}"), ("--name", ODD), ("--url", f"amqp://{ODD}@127.0.0.1/")):
        agent = start_agent("refused", *flags)
        assert agent.child.wait(60) == 2, agent.log
        assert f"worker-agent: {flags[0]}" in agent.log
        assert "Traceback" not in agent.log
