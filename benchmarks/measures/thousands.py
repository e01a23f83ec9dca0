"""Agents by the thousand: what idle ones cost the broker and a master, and a roll call of all after a master's restart.

On one node, and on a cluster of three with quorum queues, where a broker's figures are those of its nodes together; and
the rate of builds at which both break away.
"""

from __future__ import annotations

import asyncio
import os
import resource
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from types import MappingProxyType

import aio_pika

from benchmarks.measures.claims import Talk, TooLong
from benchmarks.report.figures import percentile
from benchmarks.stand.processes import cpu_seconds, proportional_memory, total_cpu_seconds, tree
from benchmarks.stand.stage import Stage
from contracts import topology
from contracts.rabbitmq.arguments import Kind, QueueType, arguments
from contracts.testing.rabbitmq.cluster import RabbitMQCluster
from contracts.testing.rabbitmq.node import RabbitMQNode
from contracts.timing import STATUS_INTERVAL, STATUSES_WANTED_FOR
from contracts.trust.tickets import SECRET_BYTES
from master_bridge.buildbot.fleet.statuses import A_SECOND

SIGNATURES = 10
#: Agents of a client process: each has its own descriptors, and the clients' work is on all cores.
EACH = 1_000
#: … of one that runs agents' machines and links.
EACH_REAL = 500
#: Client processes that start at the same time: one a core of a small machine.
AT_ONCE = 2
#: Seconds after the last agent came, until the broker has come to rest; then how long it is watched.
_SETTLE, _REST = 10.0, 30.0
#: How an agent is there (`crowd_process.SHAPES`), with the name of its column.
SHAPES = {"agent": "as agents are", "3 channels": "a third channel", "2 connections": "2 connections"}
#: In the broker's environment: Erlang's processes keep no second, old heap each (docs/operations.md).
SWEPT = {"ERL_FULLSWEEP_AFTER": "0"}
_SWEPT = " ".join(f"{name}={value}" for name, value in SWEPT.items())
NODE, CLUSTER = "1 node", "3 nodes, quorum queues"
#: Builds a second that are tried one after the other, each for so many seconds, until 99 of 100 take longer than so
#: many milliseconds from the request to the agent's accept.
RATES = (25, 50, 100, 150, 200, 300, 400, 600)
_AT_A_RATE, _BROKEN_AWAY = 10.0, 1_000.0
#: That a part takes about, on a quiet machine.
PART_SECONDS = 100.0

Nodes = Sequence[RabbitMQNode]


def run(stage: Stage) -> None:
    """Idle agents on one node; where sizes are named, all `PARTS` of each but `shapes`, or those that are named.

    A part that breaks, or takes longer than its `_limit`, has no figure but why, and the next one is measured.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        todo = parts_of(stage.agents, stage.parts)
        if not todo:
            _idle(stage, 100 if stage.quick else 1_000, "agent", SHAPES["agent"])
        for number, (agents, part) in enumerate(todo):
            most = sum(_limit(stage, agents) for agents, _ in todo[number:]) / 60
            stage.say(f"   part {number + 1} of {len(todo)}, at most {most:g} minutes for what is left")
            if part == "master":
                assert stage.peers  # their start is not the part's time
            _try(stage, f"{part}, {agents} agents", partial(PARTS[part], stage, agents), _limit(stage, agents))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def parts_of(sizes: Sequence[int], parts: Sequence[str]) -> list[tuple[int, str]]:
    """What is measured, in turn: (agents, part); nothing where neither is named."""
    if not sizes and not parts:
        return []
    usual = tuple(part for part in PARTS if part != "shapes")
    return [(agents, part) for agents in sizes or (1_000,) for part in parts or usual]


def _limit(stage: Stage, agents: int) -> float:
    """Seconds that a part may take: `--part-minutes`, and a minute for each thousand agents where that is more."""
    return 60 * max(stage.part_minutes, agents / 1_000)


def _try(stage: Stage, what: str, part: Callable[[], None], limit: float) -> None:
    stage.deadline = time.monotonic() + limit
    try:
        part()
    except (RuntimeError, OSError, AssertionError) as error:
        traceback.print_exc()
        failure = (str(error) or repr(error)).splitlines()[0][:300]
        stage.add("thousands", what, "ours", "", "less", [], failure=failure)


@contextmanager
def _broker(
    stage: Stage, name: str, size: int = 1, environment: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Nodes]:
    folder = stage.folder / f"crowd-{name}"
    nodes: Nodes = ()
    try:
        if size == 1:
            nodes = (RabbitMQNode(folder, environment=environment),)
            nodes[0].start()
        else:
            cluster = RabbitMQCluster(folder, size=size, environment=environment)
            nodes = cluster.nodes
            cluster.start()
        yield nodes
    finally:
        for node in reversed(nodes):  # the first one has the port mapper
            node.kill()  # nobody wants its data: an end in good order of a thousand connections takes a while
            node.stop()


def _idle(stage: Stage, agents: int, shape: str, peer: str, size: int = 1, *, swept: bool = False) -> None:
    """`swept`: with the setting that docs/operations.md has for fleets of thousands."""
    stage.say(f"   {agents} idle agents, {peer}")
    environment = SWEPT if swept else {}
    with _broker(stage, f"{agents}-{shape[0]}-{size}-{swept}", size=size, environment=environment) as nodes:
        for node in nodes:
            told = node.ctl("eval", "erlang:system_info(fullsweep_after).").strip()
            if swept != (told == "{fullsweep_after,0}"):
                raise RuntimeError(f"the broker has another setting than {peer}: {told}")
        _idle_on(stage, nodes, agents, shape, peer)


def _idle_on(stage: Stage, nodes: Nodes, agents: int, shape: str, peer: str) -> None:
    names = [f"crowd{index}" for index in range(SIGNATURES)]
    _declare(nodes[0].url, names, "classic" if len(nodes) == 1 else "quorum")
    before = _memory(nodes)
    with ExitStack() as open_:
        began = time.monotonic()
        urls = [(nodes[number % len(nodes)].url, count) for number, count in _shares(agents, EACH, len(nodes))]
        crowd = "benchmarks.stand.crowd_process"
        _start(stage, open_, [(crowd, url, str(count), shape, *names) for url, count in urls])
        seconds = time.monotonic() - began
        time.sleep(_SETTLE)
        part = _percent(lambda: _cpu(nodes), _REST)
        memory = (_memory(nodes) - before) / agents
    stage.add("thousands", f"broker's memory an agent, {agents} agents", peer, "MB", "less", [memory])
    stage.add("thousands", f"broker's CPU at rest, {agents} agents", peer, "% of a core", "less", [part])
    stage.add("thousands", f"until all consume, {agents} agents", peer, "s", "less", [seconds])


def _start(stage: Stage, open_: ExitStack, commands: Sequence[Sequence[str]]) -> list[Talk]:
    """Processes that end with `open_`, when each has said that it is ready; `AT_ONCE` start at the same time."""
    talks: list[Talk] = []
    for number, command in enumerate(commands):
        if number >= AT_ONCE:
            talks[number - AT_ONCE].hear()
        talks.append(open_.enter_context(Talk(*command, deadline=stage.deadline)))
    for talk in talks[-AT_ONCE:]:
        talk.hear()
    return talks


def _shapes(stage: Stage, agents: int) -> None:
    """What another channel and another connection of each agent cost: why agents have neither."""
    for shape, peer in SHAPES.items():
        _idle(stage, agents, shape, peer)


def _roll_call(stage: Stage, agents: int, size: int, queue_type: QueueType, peer: str) -> None:
    """Each agent holds a session, the bridge is killed, another takes its place with the same requests.

    Links and machines of both sides are the product's (`fleet_process`, `bridge_process`); Buildbot's own start is not
    among it. What they cost at rest, before the kill, is the broker's with real links, and the bridge's.
    """
    stage.say(f"   {agents} agents with a session each, {peer}")
    with _broker(stage, f"{agents}-roll-{size}", size=size) as nodes:
        _roll_call_on(stage, nodes, agents, queue_type, peer)


def _roll_call_on(stage: Stage, nodes: Nodes, agents: int, queue_type: QueueType, peer: str) -> None:
    names = [f"roll{index}" for index in range(SIGNATURES)]
    bridge = ("benchmarks.stand.bridge_process", nodes[0].url, "bench-roll", queue_type, os.urandom(SECRET_BYTES).hex())
    with ExitStack() as open_:
        first = open_.enter_context(Talk(*bridge, deadline=stage.deadline))
        first.hear()
        first.ask({"declare": True, "signatures": names})
        before = _memory(nodes)
        _fleets(stage, open_, nodes, agents, names)
        time.sleep(_SETTLE)
        part = _percent(lambda: _cpu(nodes), _REST)
        memory = (_memory(nodes) - before) / agents
        order = {"seek": agents, "signatures": names, "at_once": agents, "hold": True}
        first.ask({**order, "run": 1})
        first.process.kill()
        began, used = time.monotonic(), _cpu(nodes)
        second = open_.enter_context(Talk(*bridge, deadline=stage.deadline))
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


def _fleets(stage: Stage, open_: ExitStack, nodes: Nodes, agents: int, names: list[str]) -> list[Talk]:
    """Agents with the product's machines and links, all of which consume, in processes that end with `open_`."""
    commands, first = [], 0
    for number, count in _shares(agents, EACH_REAL, len(nodes)):
        url = nodes[number % len(nodes)].url
        commands.append(("benchmarks.stand.fleet_process", url, str(first), str(count), *names))
        first += count
    return _start(stage, open_, commands)


def _knee(stage: Stage, agents: int, size: int, queue_type: QueueType, peer: str) -> None:
    """At which rate of builds the time from a request to its agent's accept breaks away.

    Requests come at a fixed rate, whatever became of those before; a session ends when it was accepted. Links and
    machines are the product's, Buildbot and the commands are left out: it is what brokers and bridge can carry.
    """
    stage.say(f"   {agents} agents, rising rates, {peer}")
    with _broker(stage, f"{agents}-knee-{size}", size=size) as nodes, ExitStack() as open_:
        names = [f"knee{index}" for index in range(SIGNATURES)]
        (bridge,) = _start(stage, open_, [("benchmarks.stand.bridge_process", nodes[0].url, "bench-knee", queue_type)])
        bridge.ask({"declare": True, "signatures": names})
        fleets = _fleets(stage, open_, nodes, agents, names)
        bridge.ask({"seek": SIGNATURES, "signatures": names, "at_once": 1})  # what happens once is over
        held = 0.0
        try:
            for rate in RATES:
                if not _holds(stage, nodes, bridge, fleets, names, rate, agents, peer):
                    break
                held = rate
        except TooLong as error:  # what was held before counts; no request waits for ever that is not told
            stage.add(
                "thousands", f"request to accept, p99: {rate} builds/s, {agents} agents", peer, "ms", "less", [],
                failure=str(error),
            )  # fmt: skip
    what = f"highest rate with 99 of 100 accepted within {_BROKEN_AWAY / 1000:.0f} s, {agents} agents"
    stage.add("thousands", what, peer, "builds/s", "more", [held])


def _holds(
    stage: Stage,
    nodes: Nodes,
    bridge: Talk,
    fleets: Sequence[Talk],
    names: list[str],
    rate: int,
    agents: int,
    peer: str,
) -> bool:
    """Of requests at this rate 99 of 100 are accepted soon enough."""
    before = _cpu(nodes), _fleets_cpu(fleets), time.monotonic()
    answer = bridge.ask({"seek": int(rate * _AT_A_RATE), "signatures": names, "rate": rate})
    span = time.monotonic() - before[2]
    p99 = percentile(answer["asked_to_accept"], 0.99)
    at = f"{rate} builds/s, {agents} agents"
    for what, value in (
        ("request to accept, median", statistics.median(answer["asked_to_accept"])),
        ("request to accept, p99", p99),
    ):
        stage.add("thousands", f"{what}: {at}", peer, "ms", "less", [value])
    for what, used in (
        ("broker's CPU", _cpu(nodes) - before[0]),
        ("bridge's CPU", answer["cpu"]),
        ("simulated agents' CPU", _fleets_cpu(fleets) - before[1]),
    ):
        stage.add("thousands", f"{what}: {at}", peer, "% of a core", "less", [100 * used / span])
    return p99 <= _BROKEN_AWAY


def _fleets_cpu(fleets: Sequence[Talk]) -> float:
    return float(sum(fleet.ask({})["cpu"] for fleet in fleets))


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
            # each agent is new to the master once, hears how often to tell its status, which counts when
            # what counted before is over, and says so in its next one: that is news of each once more
            time.sleep(2 * STATUS_INTERVAL + STATUSES_WANTED_FOR + 2 * agents / A_SECOND)
            told = _percent(used, _REST)
        finally:
            fleet.kill()
    stage.add("thousands", f"master's CPU at rest, {agents} agents", "ours", "% of a core", "less", [told])
    stage.add("thousands", f"master's CPU at rest, {agents} agents", "one agent", "% of a core", "less", [alone])


#: Of a size that is named, in this order; `--parts` names some of them.
PARTS: dict[str, Callable[[Stage, int], None]] = {
    "idle": lambda stage, agents: _idle(stage, agents, "agent", SHAPES["agent"]),
    "idle-swept": lambda stage, agents: _idle(stage, agents, "agent", _SWEPT, swept=True),
    "shapes": _shapes,
    "idle-cluster": lambda stage, agents: _idle(stage, agents, "agent", CLUSTER, size=3),
    "idle-swept-cluster": lambda stage, agents: _idle(
        stage, agents, "agent", f"{CLUSTER}, {_SWEPT}", size=3, swept=True
    ),
    "roll-call": lambda stage, agents: _roll_call(stage, agents, 1, "classic", NODE),
    "roll-call-cluster": lambda stage, agents: _roll_call(stage, agents, 3, "quorum", CLUSTER),
    "knee": lambda stage, agents: _knee(stage, agents, 1, "classic", NODE),
    "knee-cluster": lambda stage, agents: _knee(stage, agents, 3, "quorum", CLUSTER),
    "master": _bridge,
}


def _shares(agents: int, each: int, at_least: int) -> list[tuple[int, int]]:
    """So many agents in processes of at most `each`: (number of the process, its agents)."""
    parts = max(at_least, -(-agents // each))
    return [(index, agents // parts + (index < agents % parts)) for index in range(parts)]


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
