"""Broker accounts: made, given permissions, and taken away with their connections."""

from __future__ import annotations

import base64
import hashlib
import os
import shlex
import subprocess
from collections.abc import Sequence
from typing import Protocol

from master_bridge.management.client import Management
from master_bridge.management.permissions import Permissions
from master_bridge.operating.errors import OperatingError

#: Seconds for one call of rabbitmqctl, which starts an Erlang machine each time.
CTL_TIMEOUT = 60


class Accounts(Protocol):
    """Where accounts are kept. Raises `OperatingError`."""

    def exists(self, user: str) -> bool: ...

    def put(self, user: str, password: str, vhost: str, permissions: Permissions) -> None:
        """Make it, or give it this password and these permissions instead of its own."""

    def remove(self, user: str) -> int:
        """Take it away and cut its connections; how many were seen. Raises where there is no such account."""


class ManagementAccounts:
    """Through the management API; its user needs the tag `administrator`."""

    def __init__(self, management: Management) -> None:
        self._api = management

    def exists(self, user: str) -> bool:
        return self._api.get("users", user) is not None

    def put(self, user: str, password: str, vhost: str, permissions: Permissions) -> None:
        self._api.put("users", user, body={"password": password, "tags": ""})
        for topic in permissions.topics:  # first: without them every routing key is allowed
            body = {"exchange": topic.exchange, "write": topic.write, "read": topic.read}
            self._api.put("topic-permissions", vhost, user, body=body)
        body = {"configure": permissions.configure, "write": permissions.write, "read": permissions.read}
        self._api.put("permissions", vhost, user, body=body)

    def remove(self, user: str) -> int:
        if not self._api.delete("users", user):  # the broker closes the connections of a deleted user …
            raise OperatingError(f"there is no account {user!r} at {self._api.where}")
        connections = self._api.connections_of(user)
        for name in connections:  # … and what it may have overlooked is cut here
            self._api.delete("connections", name)
        return len(connections)


def password_hash(password: str) -> str:
    """As RabbitMQ stores it: base64 of a salt of 4 bytes and SHA-256 of salt and password."""
    salt = os.urandom(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


class CtlAccounts:
    """Through `rabbitmqctl`, on the broker's machine or by a command that reaches it ("ssh broker rabbitmqctl")."""

    def __init__(self, command: Sequence[str] = ("rabbitmqctl",)) -> None:
        self._command = tuple(command)

    def exists(self, user: str) -> bool:
        return user in {line.split("\t")[0] for line in self.run("-q", "list_users").splitlines()}

    def put(self, user: str, password: str, vhost: str, permissions: Permissions) -> None:
        # A command line can be read by every user of the machine, and not every version reads a password from stdin:
        # so what goes there is the salted hash, of a password that nobody can guess.
        self.run(
            "-q", "eval",
            f'rabbit_auth_backend_internal:put_user(#{{name => <<"{user}">>, password_hash => '
            f'<<"{password_hash(password)}">>, hashing_algorithm => <<"rabbit_password_hashing_sha256">>, '
            'tags => <<"">>}, <<"master-bridge">>).',
        )  # fmt: skip
        for topic in permissions.topics:
            self.run("-q", "set_topic_permissions", "-p", vhost, user, topic.exchange, topic.write, topic.read)
        self.run("-q", "set_permissions", "-p", vhost, user, permissions.configure, permissions.write, permissions.read)

    def remove(self, user: str) -> int:
        if not self.exists(user):
            raise OperatingError(f"the broker has no account {user!r}")
        listed = self.run("-q", "list_connections", "user").splitlines()
        self.run("-q", "delete_user", user)
        self.run("-q", "close_all_user_connections", user, "account removed")
        return listed.count(user)

    def run(self, *arguments: str) -> str:
        """`rabbitmqctl` with these arguments; what it printed."""
        command = [*self._command, *arguments]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=CTL_TIMEOUT
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise OperatingError(f"{shlex.join(self._command)} cannot be run: {error}") from None
        if done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise OperatingError(f"{shlex.join([*self._command, *arguments[:3]])}: {said}")
        return done.stdout
