"""What the broker is asked by tests, and what `rabbitmqctl` says of the same."""

from __future__ import annotations

from collections.abc import Callable

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPConnectionError

from contracts.testing.rabbitmq.node import RabbitMQNode
from contracts.testing.rabbitmq.program import NodeError
from tests.harness import broker_state
from tests.harness.waiting import wait_for

Connect = Callable[..., BlockingChannel]


def test_an_expression_is_evaluated_on_the_node(node: RabbitMQNode, monkeypatch: pytest.MonkeyPatch) -> None:
    said = '[<<"cap.any">>,{1.5,"text"}]'
    assert node.evaluate(said) == said
    assert node.evaluate("A = 1, B = 2, A + B") == "3"
    with pytest.raises(NodeError, match="badmatch"):
        node.evaluate("ok = 3")
    with pytest.raises(NodeError, match="syntax error"):
        node.evaluate("lists:seq(")
    monkeypatch.setattr(
        "contracts.testing.rabbitmq.node.shutil.which", lambda _program: None
    )  # without erl_call: by rabbitmqctl
    assert node.evaluate(said) == said, "without erl_call, by rabbitmqctl"


def test_queues_consumers_and_connections_are_told_and_ended(
    node: RabbitMQNode, make_vhost: Callable[[], str], connect: Connect
) -> None:
    vhost, other = make_vhost(), make_vhost()
    channel = connect(node.vhost_url(vhost))
    for queue in ("cap.a", "cap.b"):
        channel.queue_declare(queue)
        channel.basic_publish("", queue, b"1")
    channel.basic_consume("cap.b", lambda *_: None, consumer_tag="mine")
    channel.connection.process_data_events(0)
    connect(node.vhost_url(other))
    wait_for(lambda: broker_state.queues(node, vhost) == {"cap.a": 1, "cap.b": 1}, 30, "both messages")
    assert broker_state.queues(node, vhost, "messages_unacknowledged") == {"cap.a": 0, "cap.b": 1}
    assert broker_state.consumers(node, vhost) == [("cap.b", "mine")]
    assert broker_state.connections(node, vhost) == [""]
    broker_state.close_connections(node, vhost)
    wait_for(lambda: not broker_state.connections(node, vhost), 30, "the end of the connection")
    assert broker_state.connections(node, other) == [""]


def test_vhosts_users_and_permissions_come_and_go(node: RabbitMQNode) -> None:
    broker_state.make_vhost(node, "told")
    broker_state.make_user(node, "told", "first")

    def opens(password: str) -> bool:
        url = node.vhost_url("told").replace(f"guest:{node.password}", f"told:{password}")
        try:
            pika.BlockingConnection(pika.URLParameters(url)).close()
        except AMQPConnectionError:
            return False
        return True

    assert not opens("first"), "it has no permissions"
    broker_state.permit(node, "told", "told")
    assert opens("first")
    broker_state.change_password(node, "told", "second")
    assert (opens("first"), opens("second")) == (False, True)
    broker_state.delete_user(node, "told")
    broker_state.delete_vhost(node, "told")
    listed = node.ctl("eval", "{rabbit_vhost:list_names(), rabbit_auth_backend_internal:list_users()}.")
    assert "told" not in listed
