"""What idle agents by the thousand cost the broker: memory and CPU at rest, with one connection an agent and with two.

The clients have nothing behind them (`crowd_process`), so the figures are the broker's alone.
"""

from __future__ import annotations

import asyncio
import resource
import time

import aio_pika

from benchmarks.measures.claims import Talk
from benchmarks.stand.processes import proportional_memory, total_cpu_seconds
from benchmarks.stand.stage import Stage
from contracts.testing.rabbitmq.node import RabbitMQNode
from contracts.topology import cap_queue

SIGNATURES = 10
#: Agents of a client process: each has its own descriptors, and the clients' work is on all cores.
EACH = 1_000
#: Seconds after the last agent came, until the broker has come to rest; then how long it is watched.
_SETTLE, _REST = 10.0, 30.0


def run(stage: Stage) -> None:
    crowds = stage.agents or ((100,) if stage.quick else (1_000,))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        for agents in crowds:
            for connections in (1, 2):
                with RabbitMQNode(stage.folder / f"crowd-{agents}-{connections}") as node:
                    _measure(stage, node, agents, connections)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _measure(stage: Stage, node: RabbitMQNode, agents: int, connections: int) -> None:
    names = [f"crowd{index}" for index in range(SIGNATURES)]
    _declare(node.url, names)
    before = proportional_memory([node.pid])
    talks = [
        Talk("benchmarks.stand.crowd_process", node.url, str(min(EACH, agents - done)), str(connections), *names)
        for done in range(0, agents, EACH)
    ]
    try:
        seconds = max(talk.hear()["ready"] for talk in talks)
        time.sleep(_SETTLE)
        used, began = total_cpu_seconds(node.pid), time.monotonic()
        time.sleep(_REST)
        part = 100 * (total_cpu_seconds(node.pid) - used) / (time.monotonic() - began)
        memory = (proportional_memory([node.pid]) - before) / agents
    finally:
        for talk in talks:
            talk.__exit__(None, None, None)
    peer = "1 connection" if connections == 1 else "2 connections"
    stage.add("thousands", f"broker's memory an agent, {agents} agents", peer, "MB", "less", [memory])
    stage.add("thousands", f"broker's CPU at rest, {agents} agents", peer, "% of a core", "less", [part])
    stage.add("thousands", f"until all consume, {agents} agents", peer, "s", "less", [seconds])


def _declare(url: str, names: list[str]) -> None:
    async def declare() -> None:
        async with await aio_pika.connect(url) as connection:
            channel = await connection.channel()
            for name in names:
                await channel.declare_queue(cap_queue(name), durable=True)

    asyncio.run(declare())
