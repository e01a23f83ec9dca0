"""What a master's link starts does not outlive it: not a connection that is still being opened, not a consumer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from contracts.messages import Marker
from contracts.testing.rabbitmq.node import RabbitMQNode
from master_bridge.link.amqp import connections
from tests.broker.bridge.conftest import RunningLink
from tests.broker.gate import Gate
from tests.harness import broker_state
from tests.harness.waiting import wait_for

MakeLink = Callable[..., RunningLink]


def bridges(node: RabbitMQNode, vhost: str) -> list[str]:
    """Names of the connections of masters that the broker has."""
    return [name for name in broker_state.connections(node, vhost) if re.fullmatch(r"m1 \(bridge\), \w+", name)]


@pytest.fixture
def gate(node: RabbitMQNode) -> Iterator[Callable[[int], Gate]]:
    gates: list[Gate] = []

    def make(held: int) -> Gate:
        gates.append(Gate(node.port, held))
        return gates[-1]

    yield make
    for made in gates:
        made.close()


@pytest.mark.parametrize("held", [1, 2, 3])
def test_a_connection_that_was_being_opened_does_not_take_the_claims_queue(
    make_link: MakeLink, gate: Callable[[int], Gate], node: RabbitMQNode, amqp_url: str, held: int
) -> None:
    """One is reset, or the link is given another URL, while the other one opens: it must not complete as an orphan that
    consumes the claims queue, which the next ones would be refused for ever."""
    between = gate(held)
    running = make_link(url=between.url(amqp_url), up=False)
    wait_for(lambda: between.holds, 60, "the connection to be held")
    if held > 1:
        between.reset_the_others()  # the link notices, and tries again with new ones
        running.wait("up")
    else:
        running.call("stop")
        running = make_link()
    between.release()
    three = [f"m1 (bridge), {what}" for what in ("consumes", "hears", "publishes")]
    wait_for(lambda: sorted(bridges(node, amqp_url.rsplit("/", 1)[1])) == three, 60, "three connections and no more")
    running.call("send_marker", Marker(incarnation="i", k=1))
    running.wait("message")
    assert running.client.named("down") == []
    assert running.client.named("stopped") == []


@pytest.mark.parametrize("held", [1, 2, 3])
def test_a_link_that_is_stopped_while_it_opens_leaves_nothing(
    make_link: MakeLink, gate: Callable[[int], Gate], node: RabbitMQNode, amqp_url: str, held: int
) -> None:
    """`stop` ends what is under way: when it is over the broker has no connection of ours, nor gets one afterwards."""
    between = gate(held)
    running = make_link(url=between.url(amqp_url), up=False)
    wait_for(lambda: between.holds, 60, "the connection to be held")
    running.call("stop")
    between.release()
    wait_for(lambda: not between._pairs, 60, "the held connection to be given up")
    assert bridges(node, amqp_url.rsplit("/", 1)[1]) == []
    assert running.client.events == []


def test_after_a_stop_nothing_is_consumed_and_the_broker_has_no_complaint(
    make_link: MakeLink, own_node: RabbitMQNode
) -> None:
    """All connections say goodbye; `stop` waits for it, so that the next start is not refused by a ghost."""

    def start_and_stop() -> None:
        running = make_link(url=own_node.url)
        wait_for(lambda: len(bridges(own_node, "/")) == 3, 60, "it hears the fleet, too")
        running.call("stop")

    start_and_stop()
    assert broker_state.consumers(own_node, "/") == []
    assert bridges(own_node, "/") == []
    start_and_stop()
    ended = re.compile(r"closing AMQP connection .*m1 \(bridge\).*(?:\n.*unexpectedly.*)?")
    wait_for(lambda: len(ended.findall(own_node.log_tail(2000))) == 6, 60, "six ends in the broker's log")
    assert "unexpectedly" not in "".join(ended.findall(own_node.log_tail(2000)))


def test_a_peer_that_does_not_answer_a_goodbye_is_not_waited_for(
    make_link: MakeLink, gate: Callable[[int], Gate], amqp_url: str
) -> None:
    """The broker stands still: `stop` ends all the same."""
    between = gate(0)
    running = make_link(url=between.url(amqp_url))
    between.freeze()
    running.call("stop", 0.5)
    between.heal()
    wait_for(lambda: not between._pairs, 60, "the connections to be closed")


def test_a_former_link_cannot_stop_the_present_one(make_link: MakeLink, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused the claims queue, and closed; what it then learns concerns nobody."""
    monkeypatch.setattr(connections, "DUPLICATE_MASTER_AFTER", 0.5)
    monkeypatch.setattr(connections, "GHOST_HEARTBEATS", 0)
    running = make_link()
    second = make_link(up=False)
    wait_for(lambda: "another master named 'm1'" in (second.link.down_reason or ""), 60, "the reason, at once")
    second.call("stop")
    assert second.client.named("stopped") == []
    running.call("send_marker", Marker(incarnation="i", k=1))
    running.wait("message")


def pending(reactor: Any) -> list[Any]:
    """What the reactor is to call later for the link."""
    return [call for call in reactor.getDelayedCalls() if "master_bridge" in str(call) or "pika" in str(call)]


def test_a_stopped_link_leaves_no_timer(twisted: Any, make_link: MakeLink, amqp_url: str) -> None:
    """Neither of an open one, nor of one that waits for its next try."""
    make_link().call("stop")
    waits = make_link(url=amqp_url.replace("guest:", "guest:no"), up=False)
    wait_for(lambda: "refuses the login" in (waits.link.down_reason or ""), 60, "the refusal")
    waits.call("stop")
    wait_for(lambda: not pending(twisted), 60, lambda: f"no timers: {pending(twisted)}")
