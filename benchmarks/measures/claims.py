"""Claims: from an offer's publish to its claim on an idle fleet, and how the cost of a claim grows with the fleet.

The bridge (`bridge_process`) and the agents (`fleet_process`) run the product's machines and links over real
connections; Buildbot and the commands are left out. CPU is counted per process, so it holds on a busy machine, too.
"""

from __future__ import annotations

import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

from benchmarks.measures.raw import raw_messages, syncs
from benchmarks.report.figures import percentile
from benchmarks.stand.processes import proportional_memory, total_cpu_seconds
from benchmarks.stand.stage import Stage
from contracts.rabbitmq.arguments import QueueType
from contracts.testing.rabbitmq.node import RabbitMQNode
from contracts.timing import ALIVE_INTERVAL
from tests.harness.agents import Agent
from tests.harness.waiting import wait_for

_TOO_LONG = "the machine does not carry this, or does too much else"


class Fleet(NamedTuple):
    """A fleet and what it is offered. The default offers come all at once."""

    agents: int
    signatures: int = 10
    offers: int = 1_000
    #: all agents are idle but one: each offer is published when the one before it is over
    idle: bool = False
    #: so many are busy at any time: the session that is oldest ends when another one begins
    busy: int = 0
    queue_type: QueueType = "classic"

    def __str__(self) -> str:
        offers = "one offer at a time" if self.idle else f"{self.offers} offers"
        offers += f", {self.busy} busy" if self.busy else ""
        quorum = "" if self.queue_type == "classic" else ", quorum queues"
        return f"{self.agents} agents, {self.signatures} signatures, {offers}{quorum}"


#: Each row changes one number of the second one. The last two have ten offers an agent, as most others have: with 1,000
#: for 10 agents next to all claims are those of agents that were just busy, for 1,000 agents none is.
SCALE = (
    Fleet(10), Fleet(100), Fleet(500), Fleet(1_000),
    Fleet(100, signatures=1), Fleet(100, signatures=50),
    Fleet(100, offers=100), Fleet(100, offers=10_000),
    Fleet(10, offers=100), Fleet(500, offers=5_000),
)  # fmt: skip
IDLE = tuple(Fleet(agents, offers=200, idle=True) for agents in (10, 100, 500, 1_000))
QUICK = tuple(Fleet(agents, offers=200, idle=idle) for idle in (False, True) for agents in (10, 50))

#: Seconds from a session's end to the next offer: the agent has ended the keeper and consumes again.
_PAUSE = 0.5
#: The same where a simulated agent, which has no keeper to end, is one of at least ten.
_SHORT_PAUSE = 0.05
#: A broker with its data here never waits for a disk.
_MEMORY = Path("/dev/shm")
#: Seconds for which the use of the processor is watched while nothing is claimed: of a thousand idle agents it is as
#: much as what one claim after another costs, most of it each time that a bridge tells all of them that it is alive.
_REST = 3 * ALIVE_INTERVAL


class TooLong(RuntimeError):
    """A process had not answered by its deadline, and was ended."""


class Talk:
    """A process that answers lines of JSON with lines of JSON. At `deadline` (monotonic seconds) it is killed."""

    def __init__(self, module: str, *arguments: str, deadline: float = math.inf) -> None:
        self._module = module
        self._deadline = deadline
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=sys.stderr, text=True,
        )  # fmt: skip

    @property
    def pid(self) -> int:
        return self.process.pid

    def hear(self) -> Any:
        """Its next answer. Raises `TooLong`; RuntimeError: it failed, or has ended."""
        if self._deadline == math.inf:
            return self._hear()
        timer = threading.Timer(max(0.0, self._deadline - time.monotonic()), self.process.kill)
        timer.start()
        try:
            return self._hear()
        except RuntimeError:
            if time.monotonic() < self._deadline:
                raise
            raise TooLong(f"{self._module} had no answer in the time that the part has: {_TOO_LONG}") from None
        finally:
            timer.cancel()

    def _hear(self) -> Any:
        out: IO[str] | None = self.process.stdout
        assert out is not None
        for line in out:
            if line.startswith("{"):
                answer = json.loads(line)
                if "failed" in answer:
                    raise RuntimeError(answer["failed"])
                return answer
        # not its arguments, of which one is a URL with a password: this is told on the results' page
        raise RuntimeError(f"{self._module} ended with {self.process.wait()}; its own output says why")

    def ask(self, order: Any) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self.hear()

    def __enter__(self) -> Talk:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def run(stage: Stage) -> None:
    _offer_to_claim(stage, "idle-agent", stage.node)
    if os.access(_MEMORY, os.W_OK):
        with tempfile.TemporaryDirectory(prefix="bench-", dir=_MEMORY) as folder, RabbitMQNode(folder) as node:
            _offer_to_claim(stage, "idle-agent-2", node, ", broker's data in memory")


def scale(stage: Stage) -> None:
    """How the cost of a claim grows: half an hour."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # a connection an agent
    try:
        if stage.quick:
            _scale(stage, QUICK, 1)
            return
        _scale(stage, (*SCALE, *IDLE), stage.rounds)
        # for comparison: their consumers cannot share a prefetch, as those of any queue from RabbitMQ 4.3 on
        _scale(stage, [fleet._replace(queue_type="quorum") for fleet in IDLE], 1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _offer_to_claim(stage: Stage, name: str, node: RabbitMQNode, where: str = "") -> None:
    """One real agent, one offer at a time. Beside it what of that the broker alone takes, and before it its disk."""
    url, offers = node.url, 10 if stage.quick else 40
    disk = syncs(node.folder, offers, _PAUSE / 5)
    agent = Agent(stage.folder / name, url, name="idle", capabilities=["idle"], auto_capabilities=stage.documented)
    with Talk("benchmarks.stand.bridge_process", url, "bench-idle") as bridge:
        bridge.hear()
        agent.start()
        try:
            # the bridge says what it has once: an agent that heard other masters' catalogues looks for nothing else
            wait_for(lambda: "link_up" in agent.log(), 30, "the agent listens")
            bridge.ask({"declare": True, "signatures": ["idle"]})
            wait_for(lambda: "queues" in agent.log(), 30, "the agent consumes")
            with raw_messages(url, _PAUSE) as raw:
                answer = bridge.ask({"seek": offers + 2, "signatures": ["idle"], "at_once": 1, "pause": _PAUSE})
        finally:
            agent.stop()
    # what happens once in an agent's or a queue's life is over
    measured = {"ours": answer["offer_to_claim"][2:], "the raw broker's message": raw[2:], "fsync of the disk": disk}
    for peer, times in measured.items():
        for part, value in (("median", statistics.median(times)), ("p99", percentile(times, 0.99))):
            stage.add("claims", f"offer to claim, idle, {part}{where}", peer, "ms", "less", [value])


class _Used(NamedTuple):
    """What a broker and a simulated fleet have used until a point in time, or between two."""

    broker: float  #: CPU seconds
    agents: float  #: CPU seconds
    given_back: int  #: offers
    at: float  #: monotonic seconds

    def since(self, start: _Used) -> _Used:
        return _Used(
            self.broker - start.broker,
            self.agents - start.agents,
            self.given_back - start.given_back,
            self.at - start.at,
        )

    def beyond(self, rest: _Used) -> _Used:
        """What it is more than `rest`, at rest, would have come to in the same time."""
        part = self.at / rest.at
        return self._replace(
            broker=max(0.0, self.broker - part * rest.broker), agents=max(0.0, self.agents - part * rest.agents)
        )


def _used(stage: Stage, fleet: Talk) -> _Used:
    told = fleet.ask({})
    return _Used(total_cpu_seconds(stage.node.pid), told["cpu"], told["given_back"], time.monotonic())


def _scale(stage: Stage, fleets: Sequence[Fleet], rounds: int) -> None:
    """One fleet after the other, and all again."""
    figures: dict[tuple[Fleet, str, str, str], list[float]] = {}
    for number in range(rounds):
        for index, fleet in enumerate(fleets):
            stage.say(f"   round {number + 1}: {fleet}")
            for what, value, unit, better in _measure(stage, f"{fleet.queue_type}{number}-{index}", fleet):
                figures.setdefault((fleet, what, unit, better), []).append(value)
    for (fleet, what, unit, better), values in figures.items():
        stage.add("scale", f"{what}: {fleet}", "ours", unit, better, values)


def _measure(stage: Stage, prefix: str, fleet: Fleet) -> Sequence[tuple[str, float, str, str]]:
    names = [f"{prefix}x{index}" for index in range(fleet.signatures)]
    pace: dict[str, float] = {"at_once": 1, "pause": _SHORT_PAUSE} if fleet.idle else {"at_once": fleet.offers}
    pace |= {"keep": fleet.busy} if fleet.busy else {}
    master = f"bench-scale-{prefix}"
    with Talk("benchmarks.stand.bridge_process", stage.node.url, master, fleet.queue_type) as bridge:
        bridge.hear()
        bridge.ask({"declare": True, "signatures": names})
        memory = proportional_memory([stage.node.pid])
        with Talk("benchmarks.stand.fleet_process", stage.node.url, "0", str(fleet.agents), *names) as agents:
            agents.hear()
            connected = proportional_memory([stage.node.pid])
            bridge.ask({"seek": fleet.busy or min(50, fleet.offers), "signatures": names, **pace})  # warm
            resting = _used(stage, agents)
            time.sleep(_REST)  # what heartbeats, statuses and supervision cost is no part of a claim's cost
            before = _used(stage, agents)
            answer = bridge.ask({"seek": fleet.offers, "signatures": names, **pace})
            after = _used(stage, agents)
    rest = before.since(resting)
    claims = after.since(before).beyond(rest)
    waits = answer["claim_to_accept"]
    return (
        ("claims", fleet.offers / answer["seconds"], "claims/s", "more"),
        ("claim to accept, median", statistics.median(waits), "ms", "less"),
        ("claim to accept, p99", percentile(waits, 0.99), "ms", "less"),
        ("bridge CPU a claim", 1000 * answer["cpu"] / fleet.offers, "ms", "less"),
        ("broker CPU a claim", 1000 * claims.broker / fleet.offers, "ms", "less"),
        ("broker CPU at rest", 100 * rest.broker / rest.at, "% of a core", "less"),
        ("agents' CPU a claim", 1000 * claims.agents / fleet.offers, "ms", "less"),
        ("offers given back a claim", claims.given_back / fleet.offers, "offers", "less"),
        ("broker memory an agent", (connected - memory) / fleet.agents, "MB", "less"),
    )
