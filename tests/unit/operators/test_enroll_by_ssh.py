"""`enroll --ssh-key`: the line of authorized_keys, and the agent's configuration, which holds no secret."""

from __future__ import annotations

import base64
import shlex
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
