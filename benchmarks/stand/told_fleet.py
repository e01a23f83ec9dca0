"""Many agents as a master hears them: their status messages, each as often as a real agent tells its own.

Left out are the agents: nobody consumes. The first one tells every `OFTEN` seconds, with the time at which it did so
as its version, so that whoever shows it can say how old that is. Prints "ready" when all have told once, then goes on
until it is killed.

`python -m benchmarks.stand.told_fleet URL AGENTS`
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator

import pika

from contracts import topology
from contracts.codec import encode
from contracts.fleet_messages import Status
from contracts.messages import Capability, SlotStatus
from contracts.timing import STATUS_INTERVAL

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

    def status(self) -> Status:
        if self._random.random() < CHANGE:
            self._busy, self._since = self._random.random() < BUSY, time.time()
        held = SlotStatus(state="held", session=self._instance, title="linux #7", master="elsewhere", since=self._since)
        return Status(
            instance=self._instance, agent=self._instance, epoch=1, address=self._address, version=self.version,
            now=time.time(), state="ready", slots=(held if self._busy else SlotStatus(state="idle"),),
            capabilities=self._capabilities, queues=(topology.cap_queue("bench"),), started=self._since,
        )  # fmt: skip


def schedule(count: int) -> Iterator[tuple[float, int]]:
    """(seconds after the begin, agent's number): each other agent once in `STATUS_INTERVAL`, evenly spread."""
    slot = STATUS_INTERVAL / count
    first, turn = 0.0, 0
    while True:
        at = turn * slot
        while first <= at:
            yield first, 0
            first += OFTEN
        if turn % count:
            yield at, turn % count
        turn += 1


def main(url: str, count: int) -> None:
    parameters = pika.URLParameters(url)
    user = parameters.credentials.username
    channel = pika.BlockingConnection(parameters).channel()
    agents = [ToldAgent(number, topology.key_word(user)) for number in range(count)]

    def tell(agent: ToldAgent) -> None:
        wire = encode(agent.status())
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
    for at, number in schedule(count):
        channel.connection.sleep(max(0.0, began + at - time.monotonic()))
        if number == 0:
            agents[0].version = repr(time.time())
        tell(agents[number])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
