"""Many agents as a master hears them: their status messages, each as often as a real agent tells its own, which is as
often as the masters want (rule 27).

Left out are the agents: nobody consumes. The first one tells every `OFTEN` seconds, with the time at which it did so
as its version, so that whoever shows it can say how old that is. Prints "ready" when all have told once, then goes on
until it is killed.

`python -m benchmarks.stand.told_fleet URL AGENTS`
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pika

from contracts import topology
from contracts.codec import decode, encode
from contracts.fleet_messages import Status
from contracts.messages import Alive, Capability, SlotStatus
from worker_agent.reporting.pace import StatusPace

#: Seconds between two messages of the first agent.
OFTEN = 0.25
#: What an agent can do: some of it is what the benchmark's column asks for.
CAPABILITIES = 60
#: Of the others, so many are busy, and so many begin or end something between two messages of theirs.
BUSY, CHANGE = 0.4, 0.1


class ToldAgent:
    def __init__(self, number: int, user: str) -> None:
        self._instance = f"told-{number:04d}"
        self._address = topology.control_address(user, self._instance, "0")
        self._capabilities = (
            Capability(name="bench"),
            *(Capability(name=f"cap{each}", version=f"{each}.{number % 7}") for each in range(CAPABILITIES)),
        )
        self._random = random.Random(number)
        self._since = time.time()
        self._busy = self._random.random() < BUSY
        self.version = "1.0.0"

    def status(self, every: int) -> Status:
        if self._random.random() < CHANGE:
            self._busy, self._since = self._random.random() < BUSY, time.time()
        held = SlotStatus(state="held", session=self._instance, title="linux #7", master="elsewhere", since=self._since)
        return Status(
            instance=self._instance, agent=self._instance, epoch=1, address=self._address, version=self.version,
            now=time.time(), state="ready", slots=(held if self._busy else SlotStatus(state="idle"),),
            capabilities=self._capabilities, queues=(topology.cap_queue("bench"),), started=self._since, every=every,
        )  # fmt: skip


def schedule(count: int, every: Callable[[], float]) -> Iterator[tuple[float, int]]:
    """(seconds after the begin, agent's number): each other agent once in `every()` seconds, evenly spread."""
    first, at, turn = 0.0, 0.0, 0
    while True:
        while first <= at:
            yield first, 0
            first += OFTEN
        if turn % count:
            yield at, turn % count
        turn += 1
        at += every() / count


def main(url: str, count: int) -> None:
    parameters = pika.URLParameters(url)
    user = parameters.credentials.username
    channel = pika.BlockingConnection(parameters).channel()
    agents = [ToldAgent(number, topology.key_word(user)) for number in range(count)]
    pace = StatusPace(random.Random(0))
    every = lambda: pace.every(time.monotonic())  # noqa: E731

    def hear(_channel: Any, _method: Any, _properties: Any, body: bytes) -> None:
        message = decode(body, {})
        if isinstance(message, Alive):
            pace.master_wants(message.status_every, time.monotonic())

    own = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(own, topology.CONTROL, topology.BROADCAST)
    channel.basic_consume(own, hear, auto_ack=True)

    def tell(agent: ToldAgent) -> None:
        wire = encode(agent.status(every()))
        channel.basic_publish(
            topology.FLEET,
            topology.STATUS_KEY,
            wire.body,
            pika.BasicProperties(type=wire.type, content_type=wire.content_type, user_id=user),
        )

    for agent in agents:
        tell(agent)
    print("ready", flush=True)
    began = time.monotonic()
    for at, number in schedule(count, every):
        channel.connection.sleep(max(0.0, began + at - time.monotonic()))
        if number == 0:
            agents[0].version = repr(time.time())
        tell(agents[number])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
