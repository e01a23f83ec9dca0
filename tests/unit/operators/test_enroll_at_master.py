"""`enroll --master-dir`: accounts of a master that listens for its agents itself, and the one file a machine needs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from contracts.operations.office_url import parse_office_url
from master_bridge.cli import main
from master_bridge.link.errors import BadSettings
from master_bridge.link.office.accounts import AgentAccounts
from master_bridge.link.office.enrolling import enrolled
from master_bridge.link.office.zeromq.curve import public_of, server_keys
from master_bridge.link.settings import TLSSettings
from master_bridge.operating.office.wire import open_at


def url_in(file: Path) -> str:
    """Of a worker's configuration: its last line."""
    (line,) = [line for line in file.read_text().splitlines() if line.startswith("amqp_url = ")]
    return str(json.loads(line.partition(" = ")[2]))


def enroll(folder: Path, *arguments: str, command: str = "enroll") -> Result:
    return CliRunner().invoke(main, [command, *arguments, "--master-dir", str(folder)])


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "master").mkdir()
    monkeypatch.chdir(tmp_path)


def test_a_workers_file_holds_all_it_needs(tmp_path: Path) -> None:
    master = tmp_path / "master"
    result = enroll(master, "builder7", "--broker-url", "amps://master.example.org:9991")
    assert result.exit_code == 0, result.output
    file = tmp_path / "builder7.toml"
    assert file.stat().st_mode & 0o777 == 0o600
    address = parse_office_url(url_in(file))
    assert (address.host, address.port, address.user) == ("master.example.org", 9991, "builder7")
    assert address.fingerprint is not None
    assert AgentAccounts(master / "agents.json").check("builder7", address.token, None) is not None
    assert address.token is not None
    assert address.token not in result.output


def test_an_account_is_renewed_and_taken_away(tmp_path: Path) -> None:
    master = tmp_path / "master"
    assert enroll(master, "a").exit_code == 0
    again = enroll(master, "a", "--output", "other.toml")
    assert "--renew" in again.output
    assert not (tmp_path / "other.toml").exists()
    assert enroll(master, "a", "--output", "other.toml", "--renew").exit_code == 0
    old, new = (parse_office_url(url_in(tmp_path / name)) for name in
                ("a.toml", "other.toml"))  # fmt: skip
    accounts = AgentAccounts(master / "agents.json")
    assert accounts.check("a", old.token, None) is None
    assert accounts.check("a", new.token, None) is not None
    assert enroll(master, "a", command="revoke").exit_code == 0
    assert "no account" in enroll(master, "a", command="revoke").output


def test_a_workers_file_for_zeromq_holds_its_key_and_the_masters(tmp_path: Path) -> None:
    master = tmp_path / "master"
    url = "zmq://master.example.org"
    result = enroll(master, "builder7", "--broker-url", url)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "builder7.toml").stat().st_mode & 0o777 == 0o600
    address = parse_office_url(url_in(tmp_path / "builder7.toml"))
    assert (address.host, address.port, address.user) == ("master.example.org", 9991, "builder7")
    assert address.server_key == server_keys(master)[0]
    assert address.key not in result.output + (master / "agents.json").read_text()
    accounts = AgentAccounts(master / "agents.json")
    assert accounts.user_of(public_of(address.key)) == "builder7"
    assert enroll(master, "builder7", "--broker-url", url, "--renew", "--output", "new.toml").exit_code == 0
    accounts.refresh()
    assert accounts.user_of(public_of(address.key)) is None
    assert parse_office_url(url_in(tmp_path / "new.toml")).server_key == address.server_key


def test_zeromq_takes_no_authority(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="leave it out"):
        enrolled(tmp_path / "master", "a", "zmq://host", "agent", authority=True)


def test_no_operator_sends_a_key_of_zeromq_in_plain_text() -> None:
    address = parse_office_url(f"zmq://a:{'0a' * 32}@127.0.0.1:1?serverkey={'0b' * 32}")
    with pytest.raises(BadSettings, match="is for agents"):
        open_at(address, TLSSettings())


def test_an_operator_gets_a_url(tmp_path: Path) -> None:
    assert enroll(tmp_path / "master", "desk", "--as", "operator").exit_code == 0
    token = parse_office_url((tmp_path / "desk.url").read_text().strip()).token
    known = AgentAccounts(tmp_path / "master" / "agents.json").check("desk", token, None)
    assert known is not None
    assert known.role == "operator"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("a", "--broker-url", "amqps://host"), "begins otherwise"),
        (("a", "--broker-url", "amps://host/vhost"), "behind host and port"),
        (("a b",), "letters, digits"),
        (("a", "--broker-url", "zmq://host?tls=off"), "only serverkey"),
        (("a", "--broker-url", "zmq://host", "--as", "operator"), "is for agents"),
        (("m", "--as", "master"), "needs no account"),
    ],
)
def test_what_cannot_be_leaves_nothing_behind(tmp_path: Path, arguments: tuple[str, ...], problem: str) -> None:
    result = enroll(tmp_path / "master", *arguments)
    assert result.exit_code != 0
    assert problem in result.output
    assert not list(tmp_path.glob("*.toml"))
    assert not AgentAccounts(tmp_path / "master" / "agents.json")
