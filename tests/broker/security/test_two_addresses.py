"""A name with two addresses, of which the first swallows packets: each way to the broker takes the second in time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet._resolver import GAIResolver

from contracts.operations.amqp_url import parse_url
from contracts.operations.reachability import reach
from master_bridge.operating.connection import connect
from tests.broker.agent.scripted_master import until
from tests.broker.agent.test_closing import RunningLink as AgentLink
from tests.broker.bridge.conftest import RunningLink, make_link, twisted  # noqa: F401  # fixtures
from tests.broker.security.conftest import SecureNode

NAME = "broker.test"
SWALLOWS, ANSWERS = "127.0.0.2", "127.0.0.1"


@pytest.fixture
def swallowing(secure: SecureNode) -> Iterator[None]:
    """At the broker's port of another address nobody accepts, and the system drops what comes (listen(2), backlog)."""
    with socket.socket() as listener:
        listener.bind((SWALLOWS, secure.node.port))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex((SWALLOWS, secure.node.port))
        yield
        for each in waiting:
            each.close()


@pytest.fixture
def named(secure: SecureNode, swallowing: None, twisted: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`broker.test` has both addresses, the one that swallows first, for asyncio, for sockets and for Twisted."""
    ask = socket.getaddrinfo

    def answer(host: Any, port: Any, *arguments: Any, **keywords: Any) -> Any:
        if host not in (NAME, NAME.encode()):
            return ask(host, port, *arguments, **keywords)
        return [found for each in (SWALLOWS, ANSWERS) for found in ask(each, port, *arguments, **keywords)]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    before = twisted.installNameResolver(GAIResolver(twisted, getaddrinfo=answer))
    yield
    twisted.installNameResolver(before)


@pytest.fixture
def named_url(named: None, amqp_url: str) -> str:
    return amqp_url.replace(f"@{ANSWERS}:", f"@{NAME}:")


async def test_an_agent_connects(named_url: str) -> None:
    """It waits 10 s for a connection, the system two minutes for an address."""
    running = AgentLink(named_url)
    await running.up()
    await running.end()


async def test_a_master_connects(named_url: str, make_link: Callable[..., RunningLink]) -> None:
    running = make_link(url=named_url, up=False)
    await until(lambda: running.client.named("up"), "the link")


async def test_doctors_and_tools_connect(named_url: str) -> None:
    """Both doctors' first look, and an operator's connection."""
    findings = list(reach(parse_url(named_url), lambda: pytest.fail("no TLS is asked for"), ca=""))
    assert [finding.verdict for finding in findings] == ["pass", "pass", "pass"]
    assert findings[1].seen.startswith(f"{ANSWERS}, port ")

    def look() -> str:
        with connect(named_url) as broker:
            return broker.product.name

    assert await asyncio.to_thread(look) == "RabbitMQ"
