"""Many agents in one process: the real machine and the real link of each, over its own connection.

Left out is what a machine does for a session (folders, keepers, processes) and what it can do (probes). Prints
{"ready": seconds} when all consume, then for each line it reads one with its CPU seconds, offers given back, and how
many sessions each agent had.

`python -m benchmarks.stand.fleet_process URL FIRST AGENTS SIGNATURE…`: FIRST is the number of the first one.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import logging
import sys
import time
from collections.abc import Iterable

from contracts.messages import WorkerInfo
from contracts.topology import cap_queue
from worker_agent.core import actions as do
from worker_agent.core import inputs
from worker_agent.core.journal import MemoryJournal
from worker_agent.core.machine import AgentConfig, AgentMachine
from worker_agent.link.amqp.delivery import Delivery
from worker_agent.link.amqp.offer_channel import OfferChannel
from worker_agent.link.link import Link
from worker_agent.link.options import LinkOptions
from worker_agent.link.port import LinkListener

#: Connections that are opened at the same time; more make a broker's accept queue overflow.
OPENING = 20


#: one entry an offer that came while its agent had another one: its link gives it back at once
turned_away: list[str] = []
_TURN_AWAY = OfferChannel.turn_away


async def _count_and_turn_away(self: OfferChannel, message: Delivery) -> None:
    turned_away.append(message.consumer)
    await _TURN_AWAY(self, message)


class SimulatedAgent:
    """Claims, accepts, and has done when released."""

    #: offers that it was asked for, and did not want any more
    given_back = 0
    #: sessions that are over
    served = 0

    def __init__(self, url: str, number: int, signatures: Iterable[str]) -> None:
        self._loop = asyncio.get_running_loop()
        instance = f"sim-{number}"
        epochs = itertools.count(1)
        ids = itertools.count(1)
        self.link = Link(
            (LinkOptions(url=url, name=instance, heartbeat=60),),
            instance=instance, agent=instance, next_epoch=lambda: next(epochs),
            listener=LinkListener(
                on_input=self._put, queue_gone=lambda queue: None, sent_to_dead=lambda: None, asked=lambda: None
            ),
        )  # fmt: skip
        worker = WorkerInfo(version="0", basedir="/nowhere")
        self._machine = AgentMachine(
            config=AgentConfig(
                instance=instance, agent=instance, slots=1, worker_info=lambda master, slot: worker,
                capabilities=lambda: (),
            ),
            journal=MemoryJournal(), new_id=lambda: f"{instance}-{next(ids)}", now=self._loop.time(),
        )  # fmt: skip
        self._queues = frozenset(cap_queue(signature) for signature in signatures)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def consuming(self) -> bool:
        return self.link.consuming >= self._queues

    def start(self) -> asyncio.Task[None]:
        self._feed(inputs.QueuesKnown(queues=self._queues))
        return self._loop.create_task(self.link.run())

    def _put(self, what: inputs.Input) -> None:
        self._loop.call_soon(self._feed, what)

    def _feed(self, what: inputs.Input) -> None:
        if isinstance(what, inputs.LinkUp):
            self.link.enter()
        for action in self._machine.handle(what, self._loop.time()):
            self._carry_out(action)
        if self._timer is not None:
            self._timer.cancel()
        deadline = self._machine.deadline
        self._timer = self._loop.call_at(deadline, self._feed, inputs.Tick()) if deadline is not None else None

    def _carry_out(self, action: do.Action) -> None:
        if isinstance(action, do.Publish):
            self.link.publish(action)
        elif isinstance(action, do.CheckMachine):
            self._put(inputs.MachineChecked(delivery=action.delivery, able=True))
        elif isinstance(action, do.Ack):
            self.served += 1
            self.link.settle(action.delivery, "ack")
        elif isinstance(action, do.Park):
            self.link.settle(action.delivery, "park")
        elif isinstance(action, do.GiveBack):
            self.given_back += 1
            self.link.settle(action.delivery, "give_back")
        elif isinstance(action, do.Consume):
            self.link.consume(action.queues)
        elif isinstance(action, do.CancelConsumers):
            self.link.cancel_consumers()


async def run(url: str, first: int, count: int, signatures: list[str]) -> None:
    began = time.monotonic()
    gc.disable()  # a thousand agents are a thousand processes elsewhere: none looks through the others' objects
    setattr(OfferChannel, "turn_away", _count_and_turn_away)  # noqa: B010  # mypy forbids the plain assignment
    agents = [SimulatedAgent(url, number, signatures) for number in range(first, first + count)]
    tasks, opening = [], agents[:0]
    for agent in [*agents, None]:
        while len(opening) >= (OPENING if agent is not None else 1):  # a state of 20 links, no event for it
            await asyncio.sleep(0.02)
            opening = [one for one in opening if not one.consuming]
        if agent is not None:
            opening.append(agent)
            tasks.append(agent.start())
    gc.collect()
    gc.freeze()
    gc.enable()
    print(json.dumps({"ready": time.monotonic() - began}), flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        given_back = sum(agent.given_back for agent in agents) + len(turned_away)
        served = [agent.served for agent in agents]
        print(json.dumps({"cpu": time.process_time(), "given_back": given_back, "served": served}), flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    for noisy in ("aiormq", "aio_pika", "asyncio"):  # as the agent's own program: its link says what matters
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    asyncio.run(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]))
