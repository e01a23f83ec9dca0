"""Who may log in at the post office: accounts in a file of the master's folder, which has only hashes of tokens."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.errors import BadName
from contracts.topology import check_user
from master_bridge.link.errors import BadSettings

#: In the master's folder.
ACCOUNTS_FILE = "agents.json"
#: An agent speaks in its own name. An operator also sees the fleet, and gives orders to agents.
Role = Literal["agent", "operator"]
#: Compared with where no account is, so that an answer takes as long.
_NOBODY = hashlib.sha256(b"").hexdigest()


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    role: Role = "agent"
    #: SHA-256 of its token. A token is 192 random bits: nobody guesses one, so no slower hash is needed
    token: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    #: a client certificate with this name, of an authority that the master believes, will do instead
    certificate: bool = False
    #: … or that ssh has brought its connection here: a key in `authorized_keys`, or `master-bridge reach`
    ssh: bool = False
    #: … or the secret key that belongs to this public one, of ZeroMQ (CURVE)
    key: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    version: Literal[1] = 1
    accounts: dict[str, _Kept] = Field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class KnownAgent:
    """Somebody who is known."""

    user: str
    role: Role
    #: what it has logged in with, as the file has it; it is not let in any longer than that stands there
    by: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Certified:
    """Whose connection it is, as was verified by TLS, from a client `certificate`, by `ssh` or by ZeroMQ, whose sender
    has shown the secret half of the public `key`.
    """

    user: str
    by: Literal["certificate", "ssh", "key"]
    key: str = ""

    @property
    def shown(self) -> str:
        """What counts as a login, as an account has it."""
        return self.key if self.by == "key" else self.by


class AgentAccounts:
    """The accounts as the file has them now: it is read again when it has changed."""

    def __init__(self, path: Path) -> None:
        """Raises `BadSettings` for a file that cannot be used; one that is not there has no accounts."""
        self._path = path
        self._read_at: tuple[int, int] | None = None
        self._accounts: dict[str, _Kept] = {}
        self.refresh()

    def refresh(self) -> bool:
        """True: the file has changed and was read. Raises `BadSettings`; what was read before is in force then."""
        try:
            state = self._path.stat()
        except FileNotFoundError:
            changed, self._read_at, self._accounts = self._read_at is not None, None, {}
            return changed
        except OSError as error:
            raise BadSettings(f"{self._path}: {error.strerror}") from None
        seen = state.st_mtime_ns, state.st_ino
        if seen == self._read_at:
            return False
        self._accounts = _read(self._path).accounts
        self._read_at = seen
        return True

    def __len__(self) -> int:
        return len(self._accounts)

    def stands(self, account: KnownAgent) -> bool:
        """Would this login, which was good, be good now?"""
        kept = self._accounts.get(account.user)
        return kept is not None and kept.role == account.role and account.by in _by(kept)

    def user_of(self, key: str) -> str | None:
        """Whose public key this is, in hexadecimal digits."""
        return next((user for user, kept in self._accounts.items() if kept.key == key), None)

    def check(self, user: str, token: str | None, certified: Certified | None) -> KnownAgent | None:
        """Whose login this is. `certified`: what its wire has verified."""
        kept = self._accounts.get(user)
        if token is not None:
            expected = _NOBODY if kept is None or kept.token is None else kept.token
            right = hmac.compare_digest(hashlib.sha256(token.encode()).hexdigest(), expected)
            return _known(user, kept, kept.token) if right and kept is not None and kept.token else None
        if kept is not None and certified is not None and certified.user == user and certified.shown in _by(kept):
            return _known(user, kept, certified.shown)
        return None


def _known(user: str, kept: _Kept, by: str) -> KnownAgent:
    return KnownAgent(user=user, role=kept.role, by=by)


def _by(kept: _Kept) -> tuple[str | None, ...]:
    """What may be logged in with."""
    return (kept.token, kept.key, "certificate" if kept.certificate else None, "ssh" if kept.ssh else None)


def add(
    path: Path, user: str, *, role: Role = "agent", certificate: bool = False, ssh: bool = False, key: str | None = None
) -> str:
    """A new account, or a new token for an old one: returns the token.

    It is of no use with a certificate, ssh, or a `key`: the public one, in hexadecimal digits. Raises `BadSettings`.
    """
    try:
        check_user(user)
    except BadName as error:
        raise BadSettings(str(error)) from None
    if not user:
        raise BadSettings("an account needs a name")
    token = secrets.token_urlsafe(24)
    file = _read(path) if path.exists() else _File()
    digest = hashlib.sha256(token.encode()).hexdigest()
    kept = None if certificate or ssh or key else digest
    file.accounts[user] = _Kept(role=role, token=kept, certificate=certificate, ssh=ssh, key=key)
    _write(path, file)
    return token


def remove(path: Path, user: str) -> bool:
    """False: there was none. Its connections end within seconds. Raises `BadSettings`."""
    file = _read(path) if path.exists() else _File()
    if file.accounts.pop(user, None) is None:
        return False
    _write(path, file)
    return True


def listed(path: Path) -> dict[str, Role]:
    """All accounts and what they may do. Raises `BadSettings`."""
    return {user: kept.role for user, kept in _read(path).accounts.items()} if path.exists() else {}


def _read(path: Path) -> _File:
    try:
        text = path.read_bytes()
        if path.stat().st_mode & 0o077:
            raise BadSettings(f"{path}: others than its owner may read or write it; chmod 600 {path}")
        return _File.model_validate_json(text)
    except OSError as error:
        raise BadSettings(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise BadSettings(f"{path}: {where}: {first['msg']}; `master-bridge enroll` writes this file") from None


def _write(path: Path, file: _File) -> None:
    """In one step: whoever reads finds the old accounts or the new ones."""
    text = json.dumps(file.model_dump(exclude_defaults=True) | {"version": 1}, indent=1, sort_keys=True)
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as opened:
            opened.write(text + "\n")
            opened.flush()
            os.fsync(opened.fileno())
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise BadSettings(f"{path}: {error.strerror}") from None
