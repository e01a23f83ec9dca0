"""Idle agents as a broker sees them: connections, channels, queues, consumers and a heartbeat, and nothing behind them.

`python -m benchmarks.stand.crowd_process URL AGENTS CONNECTIONS SIGNATURE…`: CONNECTIONS is 1 (all on one) or 2 (what
publishes on another one). Prints {"ready": seconds} when all are there, then waits for its input's end.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from typing import Any

import aiormq
import aiormq.abc
from yarl import URL

from contracts.topology import cap_queue

#: Connections that are opened at the same time; more make a broker's accept queue overflow.
OPENING = 20
HEARTBEAT = 60


async def _taken(message: Any) -> None:
    """Nothing is offered."""


async def _agent(url: URL, connections: int, queues: list[str], gate: asyncio.Semaphore) -> list[object]:
    """What keeps it alive: a channel of offers with its consumers, a queue of its own, a channel that publishes."""
    async with gate:
        first = await aiormq.connect(url)
        offers = await first.channel()
        await offers.basic_qos(prefetch_count=1)
        for queue in queues:
            await offers.basic_consume(queue, _taken)
        own = await first.channel()
        mine = (await own.queue_declare("", exclusive=True)).queue or ""
        await own.basic_consume(mine, _taken)
        second = first if connections == 1 else await aiormq.connect(url)
        out = await second.channel(publisher_confirms=True)
        return [first, second, offers, own, out]


async def _crowd(url: str, agents: int, connections: int, signatures: list[str]) -> None:
    began, gate = time.monotonic(), asyncio.Semaphore(OPENING)
    gc.freeze()
    address = URL(url).update_query(heartbeat=HEARTBEAT)
    queues = [cap_queue(name) for name in signatures]
    kept = await asyncio.gather(*(_agent(address, connections, queues, gate) for _ in range(agents)))
    print(json.dumps({"ready": time.monotonic() - began, "agents": len(kept)}), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_crowd(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]))
