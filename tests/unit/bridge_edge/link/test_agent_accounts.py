"""Accounts of the post office: made, checked, changed while the master runs; the file is nobody else's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from master_bridge.link.errors import BadSettings
from master_bridge.link.office.accounts import AgentAccounts, Certified, KnownAgent, add, listed, remove


def test_a_token_opens_its_own_account_only(tmp_path: Path) -> None:
    path = tmp_path / "agents.json"
    first, second = add(path, "a"), add(path, "b", role="operator")
    accounts = AgentAccounts(path)
    assert accounts.check("a", first, None) == KnownAgent(user="a", role="agent")
    assert accounts.check("b", second, None) == KnownAgent(user="b", role="operator")
    for user, token in (("a", second), ("b", first), ("c", first), ("a", ""), ("a", None), ("", "")):
        assert accounts.check(user, token, None) is None
    assert listed(path) == {"a": "agent", "b": "operator"}


def test_the_file_holds_no_token_and_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "agents.json"
    token = add(path, "a")
    assert token not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_certificate_opens_the_account_of_its_name_where_that_takes_one(tmp_path: Path) -> None:
    path = tmp_path / "agents.json"
    token = add(path, "a", certificate=True)
    add(path, "b")
    accounts = AgentAccounts(path)
    shown = {user: Certified(user=user, by="certificate") for user in "ab"}
    assert accounts.check("a", None, shown["a"]) is not None
    assert accounts.check("a", None, shown["b"]) is None
    assert accounts.check("b", None, shown["b"]) is None, "it has a token"
    assert accounts.check("a", None, Certified(user="a", by="ssh")) is None, "it has no ssh key"
    assert accounts.check("a", token, None) is None, "none was kept of it"
    assert accounts.check("a", None, None) is None


def test_ssh_opens_the_account_that_it_names_where_that_comes_by_ssh(tmp_path: Path) -> None:
    path = tmp_path / "agents.json"
    token = add(path, "a", ssh=True)
    add(path, "b", certificate=True)
    accounts = AgentAccounts(path)
    by_ssh = {user: Certified(user=user, by="ssh") for user in "ab"}
    assert accounts.check("a", None, by_ssh["a"]) is not None
    assert accounts.check("a", None, by_ssh["b"]) is None
    assert accounts.check("b", None, by_ssh["b"]) is None, "it has a certificate"
    assert accounts.check("a", None, Certified(user="a", by="certificate")) is None, "an authority made it, not we"
    assert accounts.check("a", token, None) is None, "none was kept of it"


def test_changes_count_while_the_master_runs(tmp_path: Path) -> None:
    path = tmp_path / "agents.json"
    accounts = AgentAccounts(path)
    assert not accounts.refresh()
    token = add(path, "a")
    assert accounts.refresh()
    assert not accounts.refresh()
    assert accounts.check("a", token, None) is not None
    assert remove(path, "a")
    assert not remove(path, "a")
    assert accounts.refresh()
    assert accounts.role("a") is None
    path.unlink()
    assert accounts.refresh()


@pytest.mark.parametrize("text", ["", "[]", '{"accounts": {"a": {"role": "king"}}}', '{"version": 2}', "\xff"])
def test_a_file_that_cannot_be_used_is_told_and_the_accounts_before_count(tmp_path: Path, text: str) -> None:
    path = tmp_path / "agents.json"
    token = add(path, "a")
    accounts = AgentAccounts(path)
    path.unlink()
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="latin-1") as file:
        file.write(text)
    with pytest.raises(BadSettings, match=r"agents\.json"):
        accounts.refresh()
    assert accounts.check("a", token, None) is not None


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "agents.json"
    add(path, "a")
    path.chmod(0o644)
    with pytest.raises(BadSettings, match="chmod 600"):
        AgentAccounts(path)


@pytest.mark.parametrize("user", ["", "u" * 300])
def test_a_name_that_no_account_can_have(tmp_path: Path, user: str) -> None:
    with pytest.raises(BadSettings):
        add(tmp_path / "agents.json", user)
