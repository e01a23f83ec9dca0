"""TLS links that cannot be had or are cut, a master's and an agent's: a line that says what to do, and no traceback."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import globalLogPublisher

from conformance.proxy import Proxy
from master_bridge.link.settings import TLSSettings
from tests.broker.agent.conftest import StartAgent
from tests.broker.agent.scripted_master import until
from tests.broker.bridge.conftest import RunningLink, make_link, twisted  # noqa: F401  # fixtures
from tests.broker.security.conftest import SecureNode
from tests.harness.tls_listener import Shown, show

MakeLink = Callable[..., RunningLink]
#: At the level "debug" its AMQP library logs tracebacks of its own.
QUIET = ("--log-level", "info", "--reconnect-max", "0.2")


@pytest.fixture
def failures() -> Iterator[list[Any]]:
    """What Twisted would write a traceback for."""
    found: list[Any] = []

    def observe(event: Any) -> None:
        if "log_failure" in event:
            found.append(event)

    globalLogPublisher.addObserver(observe)
    yield found
    globalLogPublisher.removeObserver(observe)


@pytest.fixture
def listener(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shown]:
    made = show(tmp_path, *request.param)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("listener", "says", "remedy"),
    [
        ((-9, -1), "has expired (valid until {last})", "renew it"),
        ((1, 9), "is not yet valid (valid from {first})", "set the clock"),
    ],
    indirect=["listener"],
)
async def test_links_say_when_a_certificates_time_was_over_and_to_renew_it(
    listener: Shown, says: str, remedy: str, make_link: MakeLink, start_agent: StartAgent, master_bridge: Any,
    failures: list[Any],
) -> None:  # fmt: skip
    """In one line of each log, however often it is tried, and by an operator's command; nobody is told to give a CA."""
    said = says.format(first=listener.first, last=listener.last)
    link = make_link(url=listener.url, up=False, tls=TLSSettings(ca=str(listener.ca)))
    agent = start_agent(
        "agent", "--log-level", "info", "--reconnect-max", "0.2", "--tls-ca", str(listener.ca), url=listener.url
    )
    await until(lambda: said in agent.log, f"{said!r} from the agent")
    await until(lambda: said in (link.link.down_reason or ""), f"{said!r} from the bridge")
    tries = link.link._backoff._state.attempt_number
    await until(lambda: link.link._backoff._state.attempt_number > tries + 1, "two more tries")
    fleet = await master_bridge("fleet", MASTER_BRIDGE_AMQP_URL=listener.url, MASTER_BRIDGE_TLS_CA=str(listener.ca))
    assert fleet.exit_code == 1
    for text in (agent.log, str(link.link.down_reason), fleet.output):
        assert said in text
        assert remedy in text
        assert "give the CA" not in text
        assert "Traceback" not in text
    assert agent.log.count("broker_unreachable") == 1, agent.log
    assert not failures


class Spoiler(Proxy):
    """Ends connections as networks do, and in the midst of a record of TLS."""

    def spoil(self, data: bytes, *, end: bool) -> None:
        with self._lock:
            ends = list(self._open)
        for each in ends:
            with contextlib.suppress(OSError):  # it has ended by itself
                each.sendall(data)
                if end:
                    each.shutdown(socket.SHUT_RDWR)


async def test_a_tls_link_that_is_cut_is_made_again_without_a_traceback(
    secure: SecureNode, amqp_url: str, make_link: MakeLink, start_agent: StartAgent, failures: list[Any]
) -> None:
    """Reset, closed without goodbye, and with bytes that are no TLS; both while idle."""
    proxy = Spoiler("127.0.0.1", secure.tls_port)
    account = amqp_url.split("//")[1].partition("@")[0]
    url = f"amqps://{account}@localhost:{proxy.port}/{amqp_url.rpartition('/')[2]}"
    link = make_link(url=url, tls=TLSSettings(ca=str(secure.made.ca)))
    agent = start_agent(
        "agent", "--log-level", "info", "--reconnect-max", "0.2", "--tls-ca", str(secure.made.ca), url=url
    )
    await until(lambda: "link_up" in agent.log, "the agent's link")
    record = b"\x17\x03\x03\x00\x20" + b"x" * 0x20
    for data, end in ((b"", True), (record, False), (b"HTTP/1.1 400\r\n\r\n", True), (record[:9], True)):
        downs, ups, agents = len(link.client.named("down")), len(link.client.named("up")), agent.log.count("link_up")
        proxy.spoil(data, end=end)
        await until(lambda: len(link.client.named("down")) > downs, "the bridge's link to be lost")  # noqa: B023
        proxy.cut()
        await until(lambda: len(link.client.named("up")) > ups, "the bridge's link again")  # noqa: B023
        await until(lambda: agent.log.count("link_up") > agents, "the agent's link again")  # noqa: B023
    proxy.close()
    assert not failures
    assert {event[1].partition(" broke")[0] for event in link.client.named("down")} == {
        f"the connection to amqps://localhost:{proxy.port}"
    }
    for line in ("Traceback", "never retrieved", "exception was never", "Fatal error"):
        assert line not in agent.log
