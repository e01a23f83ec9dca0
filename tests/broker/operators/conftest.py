"""Agents and scripted masters as in tests/broker/agent, and `master-bridge` called on the same vhost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from click.testing import CliRunner, Result

from master_bridge.cli import main
from tests.broker.agent.conftest import open_master, start_agent  # noqa: F401  # fixtures
from tests.broker.bridge.conftest import make_link, twisted  # noqa: F401  # fixtures

RunCommand = Callable[..., Awaitable[Result]]


@pytest.fixture
def master_bridge(amqp_url: str) -> RunCommand:
    """Runs `master-bridge ARGUMENTS` against `amqp_url`, or with the environment given, in a thread."""

    async def run(*arguments: str, expect: int | None = 0, **environment: str) -> Result:
        result = await asyncio.to_thread(
            CliRunner().invoke,
            main,
            arguments,
            env={"MASTER_BRIDGE_AMQP_URL": amqp_url, "COLUMNS": "200", **environment},
        )
        if expect is not None:
            assert result.exit_code == expect, (arguments, result.output, result.exception)
        return result

    return run
