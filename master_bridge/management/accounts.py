"""Broker accounts: made, given permissions and limits, and taken away with all that they made."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shlex
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from contracts import topology
from contracts.topology import key_word
from master_bridge.management.client import Management
from master_bridge.management.limits import (
    OWN_QUEUES,
    POLICY_NAME,
    POLICY_PATTERN,
    limits_json,
    operator_policy,
    policy_json,
)
from master_bridge.management.permissions import Permissions
from master_bridge.operating.errors import OperatingError

#: Seconds for one call of rabbitmqctl, which starts an Erlang machine each time.
CTL_TIMEOUT = 60
#: Seconds for the broker to take exclusive queues away after their connection was cut, and between two looks.
QUEUES_END = 20.0
LOOK_AGAIN = 0.2
#: Erlang: deletes what bears the prefix, in all vhosts. `%s`: the prefix as numbers, because names are a stranger's.
_DELETE_OWN = """
P = <<%s>>,
Own = fun({resource, _, _, N}) -> binary:longest_common_prefix([N, P]) =:= byte_size(P) end,
[rabbit_amqqueue:delete(Q, false, false, <<"master-bridge">>)
 || V <- rabbit_vhost:list_names(), Q <- rabbit_amqqueue:list(V), Own(amqqueue:get_name(Q))],
[rabbit_exchange:delete(element(2, X), false, <<"master-bridge">>)
 || V <- rabbit_vhost:list_names(), X <- rabbit_exchange:list(V), Own(element(2, X))],
length([Q || V <- rabbit_vhost:list_names(), Q <- rabbit_amqqueue:list(V), Own(amqqueue:get_name(Q))]) +
length([X || V <- rabbit_vhost:list_names(), X <- rabbit_exchange:list(V), Own(element(2, X))]).
"""

#: Erlang: makes durable exchanges; one that is there stays as it is. `%s`: the vhost as numbers, then names and types.
_MAKE_EXCHANGES = """
[rabbit_exchange:declare({resource, <<%s>>, exchange, N}, T, true, false, false, [], <<"master-bridge">>)
 || {N, T} <- [%s]].
"""


class Accounts(Protocol):
    """Where accounts are kept. Raises `OperatingError`."""

    def exists(self, user: str) -> bool:
        """Is there such a broker user?"""

    def put(self, user: str, password: str, vhost: str, permissions: Permissions) -> None:
        """Make it, or give it this password and these permissions instead of its own."""

    def limit(self, user: str, vhost: str) -> None:
        """Bound a worker's connections and channels, and in `vhost` the agents' own queues."""

    def make_exchanges(self, vhost: str) -> None:
        """Those of the protocol that are not there: workers' accounts may not make them, and would ask in vain."""

    def remove(self, user: str) -> int:
        """Take it away, with its connections, its queues and exchanges (`agent.<user>.*`) and their bindings.

        How many connections were seen. Raises where there is no such account.
        """


def own_prefix(user: str) -> str:
    """With which the names of all that a worker's account may make begin."""
    return f"{OWN_QUEUES}.{key_word(user)}."


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

    def limit(self, user: str, vhost: str) -> None:
        for name, value in limits_json().items():
            self._api.put("user-limits", user, name, body={"value": value})
        self._api.put("operator-policies", vhost, POLICY_NAME, body=operator_policy())

    def make_exchanges(self, vhost: str) -> None:
        for exchange in topology.EXCHANGES:
            if self._api.get("exchanges", vhost, exchange.name) is None:
                self._api.put("exchanges", vhost, exchange.name, body={"type": exchange.type.value, "durable": True})

    def remove(self, user: str) -> int:
        """With its connections, whose number it returns. Raises `OperatingError`: there is none."""
        if not self._api.delete("users", user):  # the broker closes the connections of a deleted user …
            raise OperatingError(f"there is no account {user!r} at {self._api.where}")
        connections = self._api.connections_of(user)
        for name in connections:  # … and what it may have overlooked is cut here
            self._api.delete("connections", name)
        self._delete_own(own_prefix(user))
        return len(connections)

    def _delete_own(self, prefix: str) -> None:
        """Exclusive queues go with their connection, a moment later: until then the broker refuses to delete them."""
        deadline = time.monotonic() + QUEUES_END
        while True:
            left = [
                (kind, found["vhost"], found["name"])
                for kind in ("queues", "exchanges")
                for found in self._api.get(kind) or ()
                if found["name"].startswith(prefix)
            ]
            if not left:
                return
            refused: OperatingError | None = None
            for each in left:
                try:
                    self._api.delete(*each)
                except OperatingError as error:
                    refused = error
            if time.monotonic() > deadline:
                raise OperatingError(f"the account is removed, but not all that it made: {refused or left[0]}")
            time.sleep(LOOK_AGAIN)


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

    def make_exchanges(self, vhost: str) -> None:
        named = ", ".join(f'{{<<"{exchange.name}">>, {exchange.type.value}}}' for exchange in topology.EXCHANGES)
        self.run("-q", "eval", _MAKE_EXCHANGES % (", ".join(map(str, vhost.encode())), named))

    def limit(self, user: str, vhost: str) -> None:
        self.run("-q", "set_user_limits", user, json.dumps(limits_json()))
        self.run(
            "-q", "set_operator_policy", "-p", vhost, "--apply-to", "queues", POLICY_NAME, POLICY_PATTERN,
            json.dumps(policy_json()),
        )  # fmt: skip

    def remove(self, user: str) -> int:
        """With its connections, whose number it returns. Raises `OperatingError`: there is none."""
        if not self.exists(user):
            raise OperatingError(f"the broker has no account {user!r}")
        listed = self.run("-q", "list_connections", "user").splitlines()
        self.run("-q", "delete_user", user)
        self.run("-q", "close_all_user_connections", user, "account removed")
        code = _DELETE_OWN % ",".join(str(byte) for byte in own_prefix(user).encode())
        deadline = time.monotonic() + QUEUES_END
        while (left := self.run("-q", "eval", code).strip()) != "0":
            if time.monotonic() > deadline:
                raise OperatingError(
                    f"the account is removed, but {left} of the queues and exchanges that it made stay"
                )
            time.sleep(LOOK_AGAIN)
        return listed.count(user)

    def run(self, *arguments: str) -> str:
        """`rabbitmqctl` with these arguments; what it printed."""
        over_ssh = Path(self._command[0]).name == "ssh"  # which hands one line to a shell on the other side
        command = [*self._command, *(map(shlex.quote, arguments) if over_ssh else arguments)]
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
