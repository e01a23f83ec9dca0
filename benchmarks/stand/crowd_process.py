"""Idle agents as a broker sees them: connections, channels, queues, consumers and a heartbeat, and nothing behind them.

`python -m benchmarks.stand.crowd_process URL AGENTS SHAPE SIGNATURE…`: SHAPE is a name in `SHAPES`. Prints
{"ready": seconds} when all are there, then waits for its input's end.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from typing import Any, NamedTuple

import aiormq
import aiormq.abc
from yarl import URL

from contracts import topology
from contracts.rabbitmq.arguments import Kind, arguments
from contracts.topology import cap_queue

#: Connections that are opened at the same time; more make a broker's accept queue overflow.
OPENING = 20
HEARTBEAT = 60


class Shape(NamedTuple):
    """What an agent has at the broker beside its channel of offers and its own queue."""

    connections: int
    #: its own queue is consumed on a channel of its own, not on the one that publishes
    apart: bool


SHAPES = {"agent": Shape(1, False), "3 channels": Shape(1, True), "2 connections": Shape(2, True)}


async def _taken(message: Any) -> None:
    """Nothing is offered."""


async def _agent(url: URL, shape: Shape, queues: list[str], gate: asyncio.Semaphore) -> list[object]:
    """What keeps it alive: a channel of offers with its consumers, a queue of its own, a channel that publishes."""
    async with gate:
        first = await aiormq.connect(url)
        second = first if shape.connections == 1 else await aiormq.connect(url)
        out = await second.channel(publisher_confirms=True)
        own = await first.channel(publisher_confirms=False) if shape.apart else out
        mine = await own.queue_declare("", exclusive=True, arguments=arguments(Kind.CONTROL, version=()))
        name = mine.queue or ""
        for key in (name, topology.BROADCAST, topology.TELL):
            await own.queue_bind(name, topology.CONTROL, key)
        await own.queue_bind(name, topology.FLEET, topology.CATALOGUE_KEY)
        await own.basic_consume(name, _taken, no_ack=True)
        offers = await first.channel(publisher_confirms=False)
        await offers.basic_qos(prefetch_count=1)
        for queue in queues:
            await offers.basic_consume(queue, _taken)
        return [first, second, offers, own, out]


async def _crowd(url: str, agents: int, shape: Shape, signatures: list[str]) -> None:
    began, gate = time.monotonic(), asyncio.Semaphore(OPENING)
    gc.disable()  # or each new agent makes it look through all others
    address = URL(url).update_query(heartbeat=HEARTBEAT)
    queues = [cap_queue(name) for name in signatures]
    kept = await asyncio.gather(*(_agent(address, shape, queues, gate) for _ in range(agents)))
    print(json.dumps({"ready": time.monotonic() - began, "agents": len(kept)}), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_crowd(sys.argv[1], int(sys.argv[2]), SHAPES[sys.argv[3]], sys.argv[4:]))
