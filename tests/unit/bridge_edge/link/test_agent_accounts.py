"""Accounts of the post office: made, checked, changed while the master runs; the file is nobody else's."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

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
    account = accounts.check("a", token, None)
    assert account is not None
    assert accounts.stands(account)
    add(path, "b")
    assert accounts.refresh()
    assert accounts.stands(account)
    assert remove(path, "a")
    assert not remove(path, "a")
    assert accounts.refresh()
    assert not accounts.stands(account)
    path.unlink()
    assert accounts.refresh()


@pytest.mark.parametrize("change", [{}, {"role": "operator"}, {"certificate": True}, {"key": "ab" * 32}])
def test_who_logged_in_with_what_was_replaced_is_not_in_any_more(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "agents.json"
    for first in ({}, {"certificate": True}, {"key": "cd" * 32}):
        token = add(path, "a", **first)  # type: ignore[arg-type]  # as they are above
        accounts = AgentAccounts(path)
        by = Certified(user="a", by="key", key="cd" * 32) if "key" in first else Certified(user="a", by="certificate")
        account = accounts.check("a", None if first else token, by)
        assert account is not None
        add(path, "a", **change)
        accounts.refresh()
        assert accounts.stands(account) is (first == change == {"certificate": True})


def test_a_key_logs_its_own_account_in(tmp_path: Path) -> None:
    path = tmp_path / "agents.json"
    token = add(path, "a", key="ab" * 32)
    add(path, "b")
    accounts = AgentAccounts(path)
    key = Certified(user="a", by="key", key="ab" * 32)
    assert accounts.check("a", None, key) is not None
    assert accounts.check("b", None, key) is None
    assert accounts.check("a", None, replace(key, key="cd" * 32)) is None
    assert accounts.check("a", None, Certified(user="a", by="certificate")) is None
    assert accounts.check("a", token, None) is None, "it has no token"
    assert accounts.user_of("ab" * 32) == "a"
    assert accounts.user_of("cd" * 32) is None


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
