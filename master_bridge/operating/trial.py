"""All that a trial fleet needs to be secure from its first start: certificates, accounts, signing keys, settings.

One folder for each who reads it, so that none gets what is another's:

    broker/    ca.pem, broker.pem, broker.key, security.conf, definitions.json (accounts, salted hashes only)
    master/    ca.pem, amqp-url, signing-key
    operator/  ca.pem, amqp-url, signing-key
    <worker>/  ca.pem, worker-agent.toml, signing-key.pub

RabbitMQ reads the accounts when it starts (https://www.rabbitmq.com/docs/definitions#import-on-boot), so none has a
password that anybody could know before.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from contracts import topology
from contracts.operations.amqp_url import BrokerAddress
from contracts.trust.signing import generate
from master_bridge.management.accounts import password_hash
from master_bridge.management.limits import POLICY_NAME, limits_json, operator_policy
from master_bridge.management.permissions import Permissions, for_master, for_operator, for_worker
from master_bridge.operating.certificates import broker_settings, make
from master_bridge.operating.enrolment import agent_config, amqp_url, new_password, write_private
from master_bridge.operating.errors import OperatingError

#: AMQP over TLS, as IANA has it.
PORT = 5671
OPERATOR = "operator"
BROKER = "broker"
#: There when all the rest is.
COMPLETE = "complete"


def make_trial(
    folder: Path, *, hosts: Sequence[str], master: str, workers: Sequence[str], mounted: Path | None
) -> bool:
    """Fill `folder`; False where that was done before. `hosts`: names of the broker, the first one is used in URLs.

    `mounted`: where each reader finds its own folder, in the files that name others; default: where it is made.
    Raises `OperatingError` for a folder that holds something else.
    """
    done = folder / BROKER / COMPLETE
    if done.exists():
        return False
    for reader in (BROKER, "master", OPERATOR, *workers):
        (folder / reader).mkdir(parents=True, exist_ok=True)
    made = make(folder / BROKER, hosts, ())
    address = BrokerAddress(host=hosts[0], port=PORT, user="", password="", vhost="/", secure=True)
    granted: dict[str, tuple[str, Permissions]] = {}

    def account(name: str, permissions: Permissions) -> str:
        password = new_password()
        granted[name] = (password, permissions)
        return amqp_url(address, name, password)

    signing_key = folder / "master" / "signing-key"
    generate(signing_key)
    public = signing_key.with_name("signing-key.pub")
    write_private(folder / "master" / "amqp-url", account(master, for_master(master, master)) + "\n")
    write_private(folder / OPERATOR / "amqp-url", account(OPERATOR, for_operator()) + "\n")
    shutil.copy(signing_key, folder / OPERATOR / "signing-key")
    for worker in workers:
        own = folder / worker
        seen = mounted or own.resolve()
        shutil.copy(public, own / public.name)
        config = agent_config(
            None,
            account(worker, for_worker(worker)),
            ca=str(seen / "ca.pem"),
            certificate=None,
            keys=[str(seen / public.name)],
        )
        write_private(own / "worker-agent.toml", config)
    public.unlink()
    for reader in ("master", OPERATOR, *workers):
        shutil.copy(made.ca, folder / reader / "ca.pem")
    seen = mounted or (folder / BROKER).resolve()
    settings = {key: value.replace(str(folder / BROKER), str(seen)) for key, value in broker_settings(made).items()}
    settings["load_definitions"] = str(seen / "definitions.json")
    write_private(folder / BROKER / "security.conf", "".join(f"{key} = {value}\n" for key, value in settings.items()))
    write_private(folder / BROKER / "definitions.json", json.dumps(definitions(granted, workers), indent=2) + "\n")
    done.touch()
    return True


def definitions(accounts: Mapping[str, tuple[str, Permissions]], workers: Collection[str]) -> dict[str, Any]:
    """RabbitMQ's definitions file for `accounts`: name -> (password, permissions), all in the vhost "/".

    With the limits of workers' accounts, the policy for their queues and the exchanges, as `enroll` makes them.
    """
    return {
        "users": [
            {
                "name": name,
                "password_hash": password_hash(password),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": "monitoring" if name == OPERATOR else "",
                "limits": limits_json() if name in workers else {},
            }
            for name, (password, _permissions) in accounts.items()
        ],
        "vhosts": [{"name": "/"}],
        "exchanges": [
            {
                "name": exchange.name,
                "vhost": "/",
                "type": exchange.type.value,
                "durable": True,
                "auto_delete": False,
                "internal": False,
                "arguments": {},
            }
            for exchange in topology.EXCHANGES
        ],
        "parameters": [{"vhost": "/", "component": "operator_policy", "name": POLICY_NAME, "value": operator_policy()}],
        "permissions": [
            {"user": name, "vhost": "/", "configure": given.configure, "write": given.write, "read": given.read}
            for name, (_password, given) in accounts.items()
        ],
        "topic_permissions": [
            {"user": name, "vhost": "/", "exchange": topic.exchange, "write": topic.write, "read": topic.read}
            for name, (_password, given) in accounts.items()
            for topic in given.topics
        ],
    }


def check_names(names: Sequence[str]) -> None:
    """Raises `OperatingError` where two readers would share a folder."""
    taken = [BROKER, "master", OPERATOR, *names]
    for name in names:
        if taken.count(name) > 1:
            raise OperatingError(f"worker {name!r}: the name is taken; name another")
