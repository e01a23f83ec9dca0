"""A new account and what its owner needs to come in with it: one URL, which holds the account's secret."""

from __future__ import annotations

from pathlib import Path

from contracts.operations.office_url import ZMQ, parse_office_url
from master_bridge.link.errors import BadSettings
from master_bridge.link.office import accounts
from master_bridge.link.office.accounts import ACCOUNTS_FILE, Role


def enrolled(folder: Path, name: str, url: str, role: Role, *, authority: bool) -> str:
    """The URL of account `name`, which is made, or gets another secret. `url`: where the owner finds the master.

    `authority`: one has signed the master's certificate, and the URL has no fingerprint. Raises `BadURL` and
    `BadSettings`; then there is no new account.
    """
    scheme, _, place = url.partition("://")
    if scheme == ZMQ:
        return _by_key(folder, name, place, role, authority=authority)
    from master_bridge.link.office.certificates import server_options

    pin = "" if authority or scheme == "amp" else f"?fingerprint=sha256:{server_options(folder, None)[1]}"
    parse_office_url(f"{scheme}://{name}:token@{place}{pin}")
    token = accounts.add(folder / ACCOUNTS_FILE, name, role=role)
    return f"{scheme}://{name}:{token}@{place}{pin}"


def _by_key(folder: Path, name: str, place: str, role: Role, *, authority: bool) -> str:
    nothing = "0" * 64
    parse_office_url(f"{ZMQ}://{name}:{nothing}@{place}?serverkey={nothing}")
    if role == "operator":
        raise BadSettings("--as operator: zmq:// is for agents: an operator comes by amps://, or with --master-dir")
    if authority:
        raise BadSettings("--worker-ca: zmq:// goes by keys of its own: leave it out")
    from master_bridge.link.office.zeromq.curve import new_pair, server_keys

    server_key, _ = server_keys(folder)
    key, secret = new_pair()
    accounts.add(folder / ACCOUNTS_FILE, name, role=role, key=key)
    return f"{ZMQ}://{name}:{secret}@{place}?serverkey={server_key}"
