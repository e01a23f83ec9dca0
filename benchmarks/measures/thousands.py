"""Agents by the thousand: what idle ones cost the broker and a master, and a roll call of all after a master's restart.

On one node, and on a cluster of three with quorum queues. A broker's figures are those of its nodes together.
"""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import aio_pika

from benchmarks.measures.claims import Talk
from benchmarks.stand.processes import cpu_seconds, proportional_memory, total_cpu_seconds, tree
from benchmarks.stand.stage import Stage
from contracts import topology
from contracts.rabbitmq.arguments import Kind, QueueType, arguments
from contracts.testing.rabbitmq.cluster import RabbitMQCluster
from contracts.testing.rabbitmq.node import RabbitMQNode
from contracts.timing import STATUS_INTERVAL
from contracts.trust.tickets import SECRET_BYTES

SIGNATURES = 10
#: Agents of a client process: each has its own descriptors, and the clients' work is on all cores.
EACH = 1_000
#: … of one that runs agents' machines and links.
EACH_REAL = 500
#: Seconds after the last agent came, until the broker has come to rest; then how long it is watched.
_SETTLE, _REST = 10.0, 30.0
#: How an agent is there (`crowd_process.SHAPES`), with the name of its column.
SHAPES = {"agent": "as agents are", "3 channels": "a third channel", "2 connections": "2 connections"}
CLUSTER = "3 nodes, quorum queues"

Nodes = Sequence[RabbitMQNode]


def run(stage: Stage) -> None:
    """Idle agents on one node; where sizes are named, all the rest as well."""
    crowds = stage.agents or ((100,) if stage.quick else (1_000,))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        for agents in crowds:
            for shape, peer in SHAPES.items():
                with _broker(stage, f"{agents}-{shape[0]}") as nodes:
                    _idle(stage, nodes, agents, shape, peer)
        for agents in stage.agents:
            with _broker(stage, f"{agents}-cluster", size=3) as nodes:
                _idle(stage, nodes, agents, "agent", CLUSTER)
            for size, queue_type, peer in ((1, "classic", "ours"), (3, "quorum", CLUSTER)):
                with _broker(stage, f"{agents}-roll-{size}", size=size) as nodes:
                    _roll_call(stage, nodes, agents, "quorum" if queue_type == "quorum" else "classic", peer)
            _bridge(stage, agents)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def _broker(stage: Stage, name: str, size: int = 1) -> Iterator[Nodes]:
    folder = stage.folder / f"crowd-{name}"
    if size == 1:
        with RabbitMQNode(folder) as node:
            yield (node,)
    else:
        with RabbitMQCluster(folder, size=size) as cluster:
            yield cluster.nodes


def _idle(stage: Stage, nodes: Nodes, agents: int, shape: str, peer: str) -> None:
    stage.say(f"   {agents} idle agents, {peer}")
    names = [f"crowd{index}" for index in range(SIGNATURES)]
    _declare(nodes[0].url, names, "classic" if len(nodes) == 1 else "quorum")
    before = _memory(nodes)
    with ExitStack() as open_:
        talks = [
            open_.enter_context(
                Talk("benchmarks.stand.crowd_process", nodes[number % len(nodes)].url, str(count), shape, *names)
            )
            for number, count in enumerate(_shares(agents, EACH, len(nodes)))
        ]
        seconds = max(talk.hear()["ready"] for talk in talks)
        time.sleep(_SETTLE)
        part = _percent(lambda: _cpu(nodes), _REST)
        memory = (_memory(nodes) - before) / agents
    stage.add("thousands", f"broker's memory an agent, {agents} agents", peer, "MB", "less", [memory])
    stage.add("thousands", f"broker's CPU at rest, {agents} agents", peer, "% of a core", "less", [part])
    stage.add("thousands", f"until all consume, {agents} agents", peer, "s", "less", [seconds])


def _roll_call(stage: Stage, nodes: Nodes, agents: int, queue_type: QueueType, peer: str) -> None:
    """Each agent holds a session, the bridge is killed, another takes its place with the same requests.

    Links and machines of both sides are the product's (`fleet_process`, `bridge_process`); Buildbot's own start is not
    among it. What they cost at rest, before the kill, is the broker's with real links, and the bridge's.
    """
    stage.say(f"   {agents} agents with a session each, {peer}")
    names = [f"roll{index}" for index in range(SIGNATURES)]
    bridge = ("benchmarks.stand.bridge_process", nodes[0].url, "bench-roll", queue_type, os.urandom(SECRET_BYTES).hex())
    with ExitStack() as open_:
        first = open_.enter_context(Talk(*bridge))
        first.hear()
        first.ask({"declare": True, "signatures": names})
        before, done, fleets = _memory(nodes), 0, []
        for number, count in enumerate(_shares(agents, EACH_REAL, len(nodes))):
            url = nodes[number % len(nodes)].url
            fleets.append(
                open_.enter_context(
                    Talk("benchmarks.stand.fleet_process", url, str(done), str(count), *names),
                )
            )
            done += count
        for fleet in fleets:
            fleet.hear()
        time.sleep(_SETTLE)
        part = _percent(lambda: _cpu(nodes), _REST)
        memory = (_memory(nodes) - before) / agents
        order = {"seek": agents, "signatures": names, "at_once": agents, "hold": True}
        first.ask({**order, "run": 1})
        first.process.kill()
        began, used = time.monotonic(), _cpu(nodes)
        second = open_.enter_context(Talk(*bridge))
        second.hear()
        up = time.monotonic() - began
        cpu = second.ask({**order, "run": 2})["cpu"]
        seconds, of_broker = time.monotonic() - began, _cpu(nodes) - used
    stage.add("thousands", f"broker's memory an agent, {agents} real links", peer, "MB", "less", [memory])
    stage.add("thousands", f"broker's CPU at rest, {agents} real links", peer, "% of a core", "less", [part])
    what = f"bridge killed until {agents} sessions are its successor's"
    stage.add("thousands", what, peer, "s", "less", [seconds])
    stage.add("thousands", f"{what}, of it until its link is up", peer, "s", "less", [up])
    stage.add("thousands", f"{what}: the bridge's CPU", peer, "s", "less", [cpu])
    stage.add("thousands", f"{what}: the broker's CPU", peer, "s", "less", [of_broker])


def _bridge(stage: Stage, agents: int) -> None:
    """A whole master at rest, that is told by so many agents what they are."""
    peer = next(peer for peer in stage.peers if peer.name == "ours")
    pids = tree(peer.master.pid)
    used = lambda: cpu_seconds(pids)  # noqa: E731
    alone = _percent(used, _REST)
    command = [sys.executable, "-m", "benchmarks.stand.told_fleet", stage.node.url, str(agents)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as fleet:
        try:
            assert fleet.stdout is not None
            assert fleet.stdout.readline() == "ready\n"
            time.sleep(2 * STATUS_INTERVAL)  # each agent is new to the master once
            told = _percent(used, _REST)
        finally:
            fleet.kill()
    stage.add("thousands", f"master's CPU at rest, {agents} agents", "ours", "% of a core", "less", [told])
    stage.add("thousands", f"master's CPU at rest, {agents} agents", "one agent", "% of a core", "less", [alone])


def _shares(agents: int, each: int, at_least: int) -> list[int]:
    """So many agents in processes of at most `each`."""
    parts = max(at_least, -(-agents // each))
    return [agents // parts + (index < agents % parts) for index in range(parts)]


def _percent(used: Callable[[], float], span: float) -> float:
    """Of a core, over so many seconds."""
    before, began = used(), time.monotonic()
    time.sleep(span)
    return 100 * (used() - before) / (time.monotonic() - began)


def _memory(nodes: Nodes) -> float:
    return proportional_memory([node.pid for node in nodes])


def _cpu(nodes: Nodes) -> float:
    return sum(total_cpu_seconds(node.pid) for node in nodes)


def _declare(url: str, names: list[str], queue_type: QueueType) -> None:
    async def declare() -> None:
        async with await aio_pika.connect(url) as connection:
            channel = await connection.channel()
            for exchange in topology.EXCHANGES:
                await channel.declare_exchange(exchange.name, exchange.type.value, durable=True)
            for name in names:
                of_offers = arguments(Kind.OFFERS, queue_type=queue_type, version=())
                await channel.declare_queue(topology.cap_queue(name), durable=True, arguments=of_offers)

    asyncio.run(declare())
