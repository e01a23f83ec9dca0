"""Nobody takes what an agent says: it works, reconnects and leaves all the same."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.messages import Claim
from contracts.testing.rabbitmq.node import RabbitMQNode
from tests.broker.agent.conftest import OpenMaster, close_connections
from tests.broker.agent.scripted_master import shell, until

#: How its standard output and error are left, by a shell.
BY_SHELL = {
    "the reader has gone": 'exec "$@" 2>&1 | head -2',
    "the reader never reads": '{ head -c 65536 /dev/zero; exec "$@" 2>&1; } | exec sleep 1000',  # a full pipe
    "standard error is closed": 'exec "$@" 2>&-',
    "all is closed": 'exec "$@" <&- >&- 2>&-',
    "the disk is full": 'exec "$@" >/dev/full 2>&1',
}
FORMATS = ("console", "json")


@contextlib.contextmanager
def _started(command: list[str], environment: dict[str, str], errors: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def _works_reconnects_and_leaves(
    open_master: OpenMaster, node: RabbitMQNode, url: str, state: Path, form: str, script: str | None
) -> None:
    master = await open_master("any")
    name = f"unheard-{os.urandom(4).hex()}"
    agent = [
        sys.executable, "-m", "worker_agent", "--name", name, "--state", str(state), "--no-auto-capabilities",
        "--log-format", form, "--log-level", "debug",
    ]  # fmt: skip
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WORKER_AGENT_")}
    environment["WORKER_AGENT_AMQP_URL"] = url
    ours, theirs = socket.socketpair()  # as a service manager's journal is
    with ours, theirs:
        if script is None:
            started = _started(agent, environment, theirs.fileno())
        else:
            started = _started(["sh", "-c", script, "sh", *agent], environment, subprocess.DEVNULL)
        with started:
            await master.wait_for_consumers("any", 1)
            theirs.close()
            ours.close()
            pid = int(await until(lambda: _agent_pid(name), "the agent's process"))
            await master.offer()
            claim = await master.wait_for(Claim)
            await master.grant(claim)
            await master.build(claim, [shell(1, "echo", "heard")])
            assert b"heard\n" in [event.data for event in master.events(claim.session)]

            epoch = (await master.status(lambda status: bool(status.queues))).epoch
            close_connections(node, name)
            await master.status(lambda status: status.epoch > epoch and status.queues == ("cap.any",))

            os.kill(pid, signal.SIGTERM)
            await until(lambda: _agent_pid(name) is None, "the agent to leave")


def _agent_pid(name: str) -> int | None:
    """Of the agent called `name`; no shell that has it in its arguments."""
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and (folder / "cmdline").read_bytes().startswith(
                f"{sys.executable}\0-m\0worker_agent\0--name\0{name}\0".encode()
            ):
                return int(folder.name)
    return None


@pytest.mark.parametrize(
    ("how", "form"),
    [*((how, "console") for how in BY_SHELL), *(pytest.param(how, "json", marks=pytest.mark.long) for how in BY_SHELL)],
)
async def test_lines_that_cannot_be_written(
    open_master: OpenMaster, node: RabbitMQNode, amqp_url: str, tmp_path: Path, how: str, form: str
) -> None:
    """A line that cannot be written is dropped, and nothing else."""
    await _works_reconnects_and_leaves(open_master, node, amqp_url, tmp_path / "state", form, BY_SHELL[how])


@pytest.mark.parametrize("form", FORMATS)
async def test_the_journal_of_the_service_manager_has_gone(
    open_master: OpenMaster, node: RabbitMQNode, amqp_url: str, tmp_path: Path, form: str
) -> None:
    """The socket that standard error is has no other end any more."""
    await _works_reconnects_and_leaves(open_master, node, amqp_url, tmp_path / "state", form, None)
