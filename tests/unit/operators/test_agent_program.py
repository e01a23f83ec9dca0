"""What an agent's program does before it works: warns of a password on its command line, loads only what it needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from contracts.operations.exit_status import ExitStatus
from contracts.trust.signing import generate
from worker_agent.keeper import wire
from worker_agent.keeper.commands import registry
from worker_agent.keeper.isolated import isolated
from worker_agent.program.cli import make_cli
from worker_agent.program.loading import settings_of
from worker_agent.program.run import run


def settings_only(context: click.Context) -> None:
    settings_of(context.obj)


@pytest.mark.parametrize(("url", "warns"), [("amqp://u:secret@h/", True), ("amqp://h/", False)])
def test_a_password_on_the_command_line_is_warned_of(url: str, warns: bool) -> None:
    """It says where else to put it, and does not repeat it."""
    result = CliRunner().invoke(make_cli(settings_only), ["--amqp-url", url, "--name", "a"])
    assert ("--url-file" in result.output) == warns
    assert "secret" not in result.output


def test_an_agent_without_keys_does_not_load_cryptography() -> None:
    """Nor anything of Buildbot's side: an idle agent is to stay below 50 MB."""
    script = (
        "import sys, worker_agent.agent, worker_agent.link.link; "
        "print(*(name for name in ('cryptography', 'buildbot', 'pika', 'httpx') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


#: What came into the memory of agents that have no use of it while they wait, or would easily come into it.
NOT_OF_AN_IDLE_AGENT = (
    "pydantic_settings", "argparse", "platformdirs", "tarfile", "http.client", "prometheus_client", "zmq",
    "worker_agent.keeper.server", "worker_agent.keeper.session", "worker_agent.keeper.commands.registry",
    "worker_agent.keeper.apart", "worker_agent.keeper.fork_server", "worker_agent.link.frames.open_link",
    "importlib.metadata._adapters", "email.message", "zipfile", "csv", "click", "idna.core", "_bz2", "_lzma",
)  # fmt: skip


def test_an_idle_agent_has_nothing_in_its_memory_that_only_others_need() -> None:
    """All that an agent over RabbitMQ imports until it takes work, and none of the above."""
    script = (
        "import sys; from worker_agent.program.left_out import leave_out; leave_out(); "  # as `__main__` does
        "import worker_agent.program.reading, worker_agent.program.run, worker_agent.agent.giving_back, "
        "worker_agent.link.amqp.transport; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(NOT_OF_AN_IDLE_AGENT) & set(done.stdout.split()) == set()


def test_a_keeper_has_in_its_memory_only_what_it_needs() -> None:
    """With its children and the signals that it minds: no pathlib and what that loads, no inspect and what that loads.

    What stands in for a module that it seldom needs is no such module: `ast` and `_datetime` come with the real ones.
    """
    code = (
        "import asyncio, signal, worker_agent.keeper.fork_server; "
        "from worker_agent.keeper.processes.launch import Children; "
        "from worker_agent.keeper.processes.signals import on_signal; "
        "from worker_agent.keeper.left_out import StandIn\n"
        "async def begin(): Children(None); on_signal(signal.SIGTERM, print)\n"
        "asyncio.run(begin())\n"
        "print(*(name for name, module in sys.modules.items() if not isinstance(module, StandIn)))"
    )
    done = subprocess.run(isolated(code), capture_output=True, text=True, check=True)
    unwanted = {"pathlib", "urllib.parse", "ipaddress", "inspect", "ast", "datetime", "_datetime", "locale", "tokenize"}
    assert unwanted & set(done.stdout.split()) == set()


def test_what_stands_in_for_metadata_says_what_the_real_one_says() -> None:
    """Versions, and whatever else it is asked; a name that is not there raises as ever."""
    script = (
        "import importlib.metadata as real; names = 'aio-pika', 'aiormq', 'pydantic'; "
        "expected = [real.version(name) for name in names], real.metadata('aiormq')['Name']; import sys; "
        "[sys.modules.pop(name) for name in list(sys.modules) if name.startswith('importlib.metadata')]; "
        "from worker_agent.program.left_out import leave_out; leave_out(); from importlib import metadata; "
        "assert metadata is not real; "
        "assert [metadata.version(name) for name in names] == expected[0]; "
        "assert metadata.Distribution.from_name('aio-pika').version == expected[0][0]; "
        "assert sys.modules['importlib.metadata'] is metadata, 'asked for versions only'; "
        "assert metadata.metadata('aiormq')['Name'] == expected[1]; "
        "assert metadata.Distribution.from_name('aiormq').metadata['Name'] == expected[1]; "
        "assert list(metadata.entry_points(group='console_scripts')); import pytest; "
        "pytest.raises(metadata.PackageNotFoundError, metadata.version, 'no-such-distribution')"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_keeper_has_the_commands_that_the_agent_says_it_has() -> None:
    """The main process knows their names only."""
    assert tuple(registry._COMMANDS) == wire.COMMANDS
    assert set(wire.command_versions().values()) == {"3.3"}


def test_a_trusted_key_that_cannot_be_used_ends_it_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The private file instead of the public one: exit status 2, and what to give instead. Trusting nobody is safe."""
    from worker_agent.program.loading import load

    generate(tmp_path / "key")
    flags = {"amqp_url": "amqp://h/", "state": str(tmp_path / "state"), "trusted_key": (str(tmp_path / "key"),)}
    assert run(load(flags)) == ExitStatus.USAGE
    assert ".pub file of `master-bridge keygen`" in capsys.readouterr().err
