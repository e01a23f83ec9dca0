"""`enroll --ssh-key`: the line of authorized_keys, and the agent's configuration, which holds no secret."""

from __future__ import annotations

import base64
import shlex
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from contracts.operations.office_url import parse_office_url
from master_bridge.cli import main
from master_bridge.link.office.accounts import AgentAccounts, Certified
from master_bridge.ssh import authorized_keys
from tests.unit.operators.test_enroll_at_master import url_in

NAME = b"ssh-ed25519"
KEY = "ssh-ed25519 " + base64.b64encode(len(NAME).to_bytes(4, "big") + NAME + bytes(36)).decode()


def enroll(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["enroll", *arguments, "--master-dir", str(folder)])


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "master").mkdir()
    (tmp_path / "key.pub").write_text(f"{KEY} somebody@somewhere\n")
    monkeypatch.chdir(tmp_path)


def test_the_line_names_account_and_folder_and_restricts_the_rest(tmp_path: Path) -> None:
    result = enroll(
        tmp_path / "master", "builder7", "--ssh-key", "key.pub", "--broker-url", "ssh://bb@ci.example.org:2222"
    )
    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.output.splitlines() if KEY in line]
    assert line.endswith(f'",restrict {KEY} builder7')
    command = shlex.split(line.removeprefix('command="').partition('",restrict')[0])
    assert command[1:] == ["serve-agent", "--master-dir", str(tmp_path / "master"), "--account", "builder7"]
    address = parse_office_url(url_in(tmp_path / "builder7.toml"))
    assert (address.login, address.host, address.port, address.user) == ("bb", "ci.example.org", 2222, "builder7")
    known = AgentAccounts(tmp_path / "master" / "agents.json")
    assert known.check("builder7", None, Certified(user="builder7", by="ssh")) is not None


def test_what_sshd_would_read_otherwise_is_escaped() -> None:
    line = authorized_keys.line("a", Path('/srv/the "new" \\ master'), KEY)
    # as sshd reads it: a backslash before a quote is dropped, others stay (auth-options.c, opt_dequote)
    quoted = line.removeprefix('command="').partition('",restrict')[0].replace('\\"', '"')
    assert shlex.split(quoted)[3] == '/srv/the "new" \\ master'


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("a", "--ssh-key", "key.pub", "--broker-url", "amps://host"), "begins with ssh://"),
        (("a", "--ssh-key", "key.pub", "--broker-url", "ssh://-oProxyCommand=x"), "cannot be given to ssh"),
        (("a b", "--ssh-key", "key.pub"), "letters, digits"),
        (("m", "--ssh-key", "key.pub", "--as", "master"), "comes by ssh"),
        (("a", "--ssh-key", "none.pub"), "No such file"),
    ],
)
def test_what_cannot_be_leaves_nothing_behind(tmp_path: Path, arguments: tuple[str, ...], problem: str) -> None:
    result = enroll(tmp_path / "master", *arguments)
    assert result.exit_code != 0
    assert problem in result.output
    assert not list(tmp_path.glob("*.toml"))
    assert not AgentAccounts(tmp_path / "master" / "agents.json")


def test_an_ssh_key_is_of_a_masters_account(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["enroll", "a", "--ssh-key", "key.pub", "--amqp-url", "amqp://broker/"])
    assert "--master-dir" in result.output
    assert result.exit_code == 2


def test_the_lines_command_waits_for_no_library(tmp_path: Path) -> None:
    """An agent that comes back waits for its start, and its master for the agent (`master_bridge.program`)."""
    line = authorized_keys.line("a1", tmp_path / "master", KEY)
    command = shlex.split(line.removeprefix('command="').partition('",restrict')[0])
    (script,) = entry_points(group="console_scripts", name="master-bridge")
    module, _, function = script.value.partition(":")
    run = f"from {module} import {function}; {function}()"
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", run, *command[1:]], capture_output=True, text=True, check=False
    )
    imported = [
        text.rpartition("|")[2].strip() for text in ended.stderr.splitlines() if text.startswith("import time:")
    ]
    assert {name.partition(".")[0] for name in imported}.isdisjoint({"click", "pydantic", "structlog", "tempfile"})
    assert "master_bridge.ssh.serving" in imported
    assert ended.returncode == 1
    assert "no master that listens for its agents itself runs there" in ended.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["--account=a", "--master-dir=nowhere"], ["--account", "a"]])
def test_by_hand_it_is_a_command_as_any_other(arguments: list[str]) -> None:
    found = CliRunner().invoke(main, ["serve-agent", *arguments])
    assert found.exit_code == {"--help": 0, "--account=a": 1, "--account": 2}[arguments[0]]
