"""The bridge's link on a real broker: Twisted's reactor in a thread, the test outside of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pika
import pytest
from twisted.internet import reactor, threads

from contracts.messages import AnyMessage, Catalogue, Status, Work
from master_bridge.link.amqp.link import Link
from master_bridge.link.settings import LinkSettings
from tests.harness.waiting import wait_for


@pytest.fixture(scope="session")
def twisted() -> Any:
    """The process's reactor; it runs in a daemon thread until the process ends (it can be started only once)."""
    if not reactor.running:  # another module may have brought this fixture, too
        thread = threading.Thread(target=reactor.run, kwargs={"installSignalHandlers": False}, daemon=True)
        thread.start()
    wait_for(lambda: reactor.running, 60, "the reactor runs")
    return reactor


class Client:
    """Records what a link reports; `ack` is the test's business. `at_link_up` runs in the reactor's thread."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.at_link_up: Callable[[], object] = lambda: None

    def named(self, name: str) -> list[tuple[Any, ...]]:
        return [event for event in list(self.events) if event[0] == name]

    def link_up(self) -> None:
        self.events.append(("up",))
        self.at_link_up()

    def link_down(self, reason: str) -> None:
        self.events.append(("down", reason))

    def link_blocked(self, blocked: bool) -> None:
        self.events.append(("blocked", blocked))

    def link_stopped(self, reason: str) -> None:
        self.events.append(("stopped", reason))

    def message_received(self, delivery: int, message: AnyMessage, user: str, size: int) -> None:
        self.events.append(("message", delivery, message, user))

    def message_returned(self, message: AnyMessage, routing_key: str) -> None:
        self.events.append(("returned", message, routing_key))

    def agent_died(self, address: str) -> None:
        self.events.append(("died", address))

    def message_sent_to_dead(self, reason: str, user: str) -> bool:
        self.events.append(("buried", reason))
        return True

    def fleet_heard(self, message: Status | Catalogue | Work) -> None:
        self.events.append(("fleet", message))


class RunningLink:
    """A link in the reactor's thread. Its methods may be called from the test by `call`."""

    def __init__(self, twisted: Any, url: str, master: str, **settings: Any) -> None:
        self.reactor = twisted
        self.client = Client()
        self.link = Link(twisted, LinkSettings(url=url, master=master, **settings), self.client)

    def call(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        return threads.blockingCallFromThread(self.reactor, lambda: getattr(self.link, method)(*arguments, **keywords))

    def wait(self, name: str, count: int = 1, timeout: float = 60.0) -> tuple[Any, ...]:
        """The `count`th event of that name."""
        events = wait_for(
            lambda: found if len(found := self.client.named(name)) >= count else None,
            timeout,
            lambda: f"{count} of {name}; heard: {self.client.events[-10:]}",
        )
        return events[count - 1]


@pytest.fixture
def make_link(twisted: Any, amqp_url: str) -> Iterator[Callable[..., RunningLink]]:
    """Makes links on this test's vhost; `start=False`: not started yet."""
    links: list[RunningLink] = []

    def make(master: str = "m1", *, url: str = amqp_url, up: bool = True, **settings: Any) -> RunningLink:
        running = RunningLink(twisted, url, master, **settings)
        links.append(running)
        running.call("start")
        if up:
            running.wait("up")
        return running

    yield make
    for running in links:
        running.call("stop")


@pytest.fixture
def channel(amqp_url: str) -> Iterator[Any]:
    """A plain AMQP channel of the test's own on the same vhost."""
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    yield connection.channel()
    connection.close()
