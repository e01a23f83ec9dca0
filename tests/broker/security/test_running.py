"""Who may run commands on agents: operators, with accounts as `enroll` makes them, and the key that agents trust."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.trust.signing import generate
from master_bridge.link.settings import TLSSettings
from master_bridge.running import Fleet, OperatingError
from tests.broker.agent.conftest import AgentProcess, StartAgent
from tests.broker.security.conftest import SecureNode
from tests.harness.waiting import wait_for
from worker_agent.program.loading import load

Enroll = Callable[..., Path]


def url_of_worker(config: Path) -> str:
    """As a thief reads it there."""
    secret = load({}, config).amqp_url
    assert secret is not None
    return str(secret.get_secret_value())


async def test_an_operators_account_with_the_key_that_agents_trust_and_nobody_else(
    secure: SecureNode, enroll: Enroll, start_agent: StartAgent, tmp_path: Path
) -> None:
    """An agent that may take work of one column alone is reached, too. What it believes nothing of, it does not run."""
    key = tmp_path / "key"
    generate(key)
    tls = TLSSettings(ca=str(secure.made.ca))
    config = enroll("alice", "--allow", "gtk", "--trusted-key", f"{key}.pub")
    agent: AgentProcess = start_agent("alice", "--config", str(config), environment={"WORKER_AGENT_AMQP_URL": None})
    operator = enroll("anna", "--as", "operator").read_text().strip()
    trusted, unsigned = Fleet(operator, tls=tls, signing_key=key), Fleet(operator, tls=tls)
    await asyncio.to_thread(wait_for, lambda: "alice" in _alive(trusted), 60, lambda: agent.log)

    (result,) = await asyncio.to_thread(trusted.run, "echo believed", match=["any"])
    assert result.check().stdout == b"believed\n"
    assert "account=anna" in agent.log

    (result,) = await asyncio.to_thread(unsigned.run, f"touch {tmp_path}/ran", on=["alice"], wait=3)
    assert result.error == "it has not taken the command within 3 s"

    enrolled = {
        "worker": url_of_worker(enroll("mallory", "--allow", "gtk")),
        "master": enroll("m2", "--as", "master").read_text().strip(),
    }
    for role, url in enrolled.items():
        thief = Fleet(url, tls=tls, signing_key=key)
        with pytest.raises(OperatingError, match="use an operator's account"):
            await asyncio.to_thread(thief.run, f"touch {tmp_path}/ran", match=["any"])
        assert not (tmp_path / "ran").exists(), role


def _alive(fleet: Fleet) -> list[str]:
    try:
        return [status.agent for status in fleet.agents()]
    except OperatingError:
        return []
