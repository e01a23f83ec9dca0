"""The private node that tests, benchmarks and the demo use."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pika
import psutil
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from contracts.testing.rabbitmq.cluster import RabbitMQCluster
from contracts.testing.rabbitmq.node import RabbitMQNode
from contracts.testing.rabbitmq.ports import answers_amqp
from contracts.testing.rabbitmq.program import NodeError
from tests.broker.topology.waiting import wait_for
from tests.harness.processes import alive

Connect = Callable[..., BlockingChannel]


def test_it_listens_on_loopback_only(node: RabbitMQNode) -> None:
    """No port of the node or of its port mapper is open to the network."""
    links = psutil.net_connections("tcp")
    ours = [link for link in links if link.pid in {node.pid, node.epmd_pid} and link.status == psutil.CONN_LISTEN]
    listening = [link.laddr[0] for link in ours if link.laddr]
    assert len(listening) >= 3
    assert set(listening) <= {"127.0.0.1", "::1"}


@pytest.mark.long
def test_killed_and_restarted_it_keeps_port_and_data(connect: Connect, tmp_path: Path) -> None:
    """What RabbitMQ has written, that is: a queue declared a moment before SIGKILL may be gone (3.10.8)."""
    with RabbitMQNode(tmp_path) as node:
        connect(node.url).queue_declare("kept", durable=True)
        node.ctl("eval", "mnesia:sync_log().")
        port, pid = node.port, node.pid
        node.kill()
        assert not alive(pid)
        assert not answers_amqp(port)
        node.restart()
        assert node.port == port
        assert connect(node.url).queue_declare("kept", passive=True).method.queue == "kept"


def test_it_does_not_outlive_the_process_that_started_it(tmp_path: Path) -> None:
    """Neither the broker nor its port mapper is left behind when the tests are killed."""
    script = (
        "import sys, time; from contracts.testing.rabbitmq.node import RabbitMQNode\n"
        "node = RabbitMQNode(sys.argv[1]).start(); print(node.pid, node.epmd_pid, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2
    assert all(alive(pid) for pid in pids)
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    wait_for(lambda: not any(alive(pid) for pid in pids), "the node and its port mapper to end")


def test_a_node_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(NodeError) as failed:
        RabbitMQNode(tmp_path, config={"no.such.setting": "1"}).start()
    assert "no.such.setting" in str(failed.value)


@pytest.mark.long
def test_management_answers_where_the_plugin_was_asked_for(tmp_path: Path) -> None:
    with RabbitMQNode(tmp_path, plugins=("rabbitmq_management",)) as node:
        with socket.create_connection(("127.0.0.1", node.management_port), timeout=5):
            pass
        assert node.management_url.endswith(str(node.management_port))


@pytest.mark.long
def test_a_cluster_shares_its_queues(connect: Connect, tmp_path: Path) -> None:
    """A queue declared at one node is read through another; a node can be killed and come back."""
    with RabbitMQCluster(tmp_path) as cluster:
        connect(cluster.urls[0]).queue_declare("q", durable=True, arguments={"x-queue-type": "quorum"})
        channel = connect(cluster.urls[1])
        channel.confirm_delivery()
        channel.basic_publish("", "q", b"hello", pika.BasicProperties(delivery_mode=2))
        cluster.nodes[0].kill()
        got: list[bytes] = []
        third = connect(cluster.urls[2])
        third.basic_consume("q", lambda _c, _m, _p, body: got.append(body), auto_ack=True)
        wait_for(lambda: got, "the message through the third node", channel=third)
        cluster.nodes[0].restart()
        assert "n1@localhost" in cluster.nodes[1].ctl("cluster_status")
