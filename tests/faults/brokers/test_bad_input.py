"""Malformed, oversized, unknown and forged messages at every queue of both sides: to `dead`, and nothing else stops."""

from __future__ import annotations

import itertools
import re
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from typing import Any

import pika
import psutil
import pytest

from contracts import topology
from contracts.foreign import BROADCASTS_KEPT
from contracts.timing import MESSAGE_MAX
from tests.faults.conftest import Record
from tests.faults.laboratory.lab import Lab
from tests.faults.laboratory.nonsense import FROM_AGENTS, FROM_MASTERS, TO_AGENT, TO_BRIDGE, Known, Nonsense, nonsense
from tests.generated import fresh_seed
from tests.harness.agents import Agent
from tests.harness.waiting import wait_for, wait_while_it_moves

pytestmark = pytest.mark.rabbitmq

ONCE = [f"{name} {what}" for name in ("first", "work", "last") for what in ("begin", "end")]
SIZE = 200_000
#: `dead` keeps this many; a fuzzer of 50,000 pushes the oldest out.
ALL_SEEN = 5_000


def address_of(lab: Lab) -> str:
    return next(name for name in lab.queues() if name.startswith("agent."))


def may_throw(lab: Lab) -> None:
    """What `throw` sends may name whomever it likes from now on."""
    lab.node.ctl("set_user_tags", "guest", "administrator", "impersonator")


def throw(lab: Lab, things: list[tuple[str, str, Nonsense]]) -> None:
    """Publish each to (exchange, key), under a name that the broker vouches for: so what it says is read."""
    with pika.BlockingConnection(pika.URLParameters(lab.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for exchange, key, thing in things:
            user = "mallory" if key.startswith("mallory.") else "guest"
            properties = pika.BasicProperties(headers=thing.headers, delivery_mode=2, user_id=user)
            channel.basic_publish(exchange, key, thing.body, properties)


def known(lab: Lab, agent: Agent, side: str) -> Known:
    """The session under way and its address: who forges well has found them out.

    To an agent somebody speaks under another master's name; under the session's own only signing tells him apart.
    """
    sessions = [folder.name for folder in (agent.folder / "state" / "sessions").iterdir()]
    assert sessions, "a session is under way"
    names: dict[str, list[Any]] = {"session": sessions, "n": [1, 2], "seq": [1, 5, 10**6]}
    if side == "agent":
        return {**names, "master": ["m2", "nobody"]}
    return {**names, "master": ["m1", "m1", "m2"], "address": [address_of(lab), "agent.mallory.i.n"]}


#: exchange, routing key, types of messages that are read there
Place = tuple[str, str, tuple[str, ...]]


def places(lab: Lab, side: str) -> list[Place]:
    """Every way to the queues of one side."""
    if side == "bridge":
        return [
            (topology.REPLIES, topology.claims_key("mallory", "m1"), TO_BRIDGE),
            (topology.REPLIES, topology.events_key("mallory", "m1"), TO_BRIDGE),
            (topology.FLEET, topology.STATUS_KEY, FROM_AGENTS),
        ]
    return [
        (topology.CONTROL, address_of(lab), TO_AGENT),
        (topology.CONTROL, topology.BROADCAST, TO_AGENT),
        (topology.FLEET, topology.CATALOGUE_KEY, FROM_MASTERS),
    ]


def unheard(things: list[tuple[str, str, Nonsense]], side: str) -> int:
    """How many broadcasts of other versions are counted only: all but the first few of each peer."""
    peers: Counter[str] = Counter()
    for exchange, key, thing in things:
        if thing.foreign is not None and (exchange == topology.FLEET or key == topology.BROADCAST):
            fields = thing.foreign
            name = fields.get("agent") or fields.get("master") if side == "bridge" else fields.get("master", "")
            peers[str(name)[:128]] += 1
    return sum(max(0, count - BROADCASTS_KEPT) for count in peers.values())


def counted(log: str, name: str) -> float:
    """A metric of the program whose log this is."""
    base = re.search(r"(http://127\.0\.0\.1:\d+)/metrics", log)
    assert base is not None, f"no metrics:\n{log[-2000:]}"
    with urllib.request.urlopen(f"{base.group(1)}/metrics", timeout=60) as answer:
        found = re.search(rf"^{name} (\S+)$", answer.read().decode(), re.MULTILINE)
    assert found is not None, name
    return float(found.group(1))


@pytest.mark.parametrize("count", [600, pytest.param(50_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("side", ["bridge", "agent"])
@pytest.mark.timeout(1800)
def test_a_build_goes_on_under_nonsense(lab: Lab, record: Record, side: str, count: int) -> None:
    """The build under way ends with SUCCESS and a byte-exact log; all that cannot be read is counted, and in `dead`
    with a reason: of what peers of other versions broadcast, the first few of each."""
    sent = lab.folder / "sent"
    steps = lab.three_steps(seconds=5, size=SIZE, until=sent)
    master = lab.master(lab.column(steps=steps), broker="metrics_port=0")
    agent = lab.agent("a1", options=["--metrics-port=0"])
    request = master.force("b")
    lab.wait_mark("work", "begin")
    names, chosen = known(lab, agent, side), places(lab, side)
    may_throw(lab)
    began, thrown_since = time.monotonic(), time.process_time()
    things: list[tuple[str, str, Nonsense]] = []
    for number, (exchange, key, types) in enumerate(chosen):
        some = nonsense(number + (fresh_seed() or 0), count // len(chosen), types, names)
        while chunk := [(exchange, key, thing) for thing in itertools.islice(some, 500)]:
            throw(lab, chunk)
            things += chunk
    thrown_with = time.process_time() - thrown_since
    assert lab.ran()[-1] == "work begin"
    sent.touch()
    reader = psutil.Process(master.pid if side == "bridge" else agent.pid)
    wait_while_it_moves(
        lambda: master.get(f"/buildrequests/{request}")["buildrequests"][0]["complete"],
        lab.queues,
        lambda: f"request {request} complete: {master.describe(request)}",
        still=300,
    )
    build = master.finished(request)
    took = time.monotonic() - began
    if count > ALL_SEEN:  # each costs whoever reads it about what it costs to make it up, however many came before
        read = sum(reader.cpu_times()[:2])
        assert read < 2 * thrown_with, f"{side}: {read:.0f} s of processor time, thrown with {thrown_with:.0f} s"
        print(f"{side}: {read:.1f} s of processor time, thrown with {thrown_with:.1f} s")
    assert [b.result for b in master.builds(request)] == ["SUCCESS"], master.describe(request)
    assert lab.ran() == ONCE
    lab.check_text(master, build, "work", SIZE)
    assert agent.running
    unreadable = sum(not thing.readable for _, _, thing in things)
    foreign = sum(thing.foreign is not None for _, _, thing in things)
    buried = unreadable - unheard(things, side)
    assert 0 < foreign < unreadable < len(things), "some of each"
    if count < ALL_SEEN:
        wait_for(lambda: lab.queues()["dead"] >= buried, 20, lambda: f"{buried} in dead: {lab.queues()}")
        log, prefix = (master.log(), "buildbot_amqp") if side == "bridge" else (agent.log(), "worker_agent")
        assert counted(log, f"{prefix}_dead_letters_total") >= buried
        assert counted(log, f"{prefix}_other_versions" + "_total" * (side == "bridge")) == foreign
    again = master.finished(master.force("b"), 180)
    assert again.result == "SUCCESS"
    wait_for(lambda: not lab.queues()["claims.m1"] and not lab.queues()["events.m1"], 20, lambda: f"{lab.queues()}")
    record(
        fault=f"{len(things)} malformed and forged messages at the {side}",
        how="raw bytes, broken and mutated messages, other versions, forged sessions, in mid-build",
        seen=f"the build ends with SUCCESS, log byte-exact; {buried} of {unreadable} unreadable ones buried with a "
        "reason (of broadcasts in other versions the first 3 of each sender), all counted",
        seconds=took,
    )


def test_a_build_goes_on_under_replays(lab: Lab, record: Record) -> None:
    """All that both sides have said so far is said again, three times: nothing runs twice, the log is byte-exact."""
    master = lab.master(lab.column(steps=lab.three_steps(seconds=6, size=SIZE)))
    lab.agent("a1")
    with pika.BlockingConnection(pika.URLParameters(lab.url)) as connection:
        channel = connection.channel()
        tap = channel.queue_declare("", exclusive=True).method.queue
        for exchange in (topology.REPLIES, topology.CONTROL):
            channel.queue_bind(tap, exchange, "#")
        request = master.force("b")
        lab.wait_mark("work", "begin")
        said = []
        wait_for(lambda: channel.queue_declare(tap, passive=True).method.message_count > 20, 20, "they talk")
        began = time.monotonic()
        while (got := channel.basic_get(tap, auto_ack=True))[0] is not None:
            said.append(got)
        for method, properties, body in 3 * said:
            channel.basic_publish(method.exchange, method.routing_key, body, properties)
    build = master.finished(request, 120)
    assert [b.result for b in master.builds(request)] == ["SUCCESS"], master.describe(request)
    assert lab.ran() == ONCE
    lab.check_text(master, build, "work", SIZE)
    record(
        fault=f"{3 * len(said)} messages of both sides replayed",
        how="all that was said until mid-build, to the same queues, three times over",
        seen="the build ends with SUCCESS, each command ran once, log byte-exact",
        seconds=time.monotonic() - began,
    )


def test_offers_that_are_none(lab: Lab, record: Record) -> None:
    """What is no offer leaves the `cap.*` queue for `dead`; the next build starts as ever."""
    master = lab.master(lab.column(steps=lab.step("only")))
    lab.agent("a1")
    wait_for(lambda: master.finished(master.force("b"), 60).result == "SUCCESS", 60, "a build")
    key = topology.cap_queue("gtk")
    # an offer of another version is parked instead: an agent of that version may come
    bad = [thing for thing in nonsense(7, 400, ("offer",)) if not thing.readable and thing.foreign is None]
    may_throw(lab)
    began = time.monotonic()
    throw(lab, [(topology.OFFERS, key, thing) for thing in bad])
    assert master.finished(master.force("b"), 90).result == "SUCCESS"
    wait_for(lambda: lab.queues()["dead"] >= len(bad), 60, lambda: f"{len(bad)} in dead: {lab.queues()}")
    wait_for(lambda: not lab.queues()[key], 20, lambda: f"none is left: {lab.queues()}")
    record(
        fault=f"{len(bad)} messages that are no offers in a `cap.*` queue",
        how="raw bytes, broken and mutated offers",
        seen="buried with a reason; the build behind them ended with SUCCESS",
        seconds=time.monotonic() - began,
    )


def _oversized(lab: Lab) -> list[tuple[str, str, Nonsense]]:
    huge = Nonsense(body=b'{"t":"claim","x":"' + b"x" * (MESSAGE_MAX + 1) + b'"}')
    return [(exchange, key, huge) for side in ("bridge", "agent") for exchange, key, _ in places(lab, side)]


@pytest.mark.parametrize("make", [_oversized])
def test_oversized(lab: Lab, make: Callable[[Lab], list[tuple[str, str, Nonsense]]]) -> None:
    """More JSON than either side reads is buried, unread."""
    master = lab.master(lab.column(steps=lab.step("only")))
    agent: Agent = lab.agent("a1")
    things = make(lab)
    may_throw(lab)
    throw(lab, things)
    wait_for(lambda: lab.queues()["dead"] >= len(things), 30, lambda: f"in dead: {lab.queues()}")
    assert master.finished(master.force("b"), 60).result == "SUCCESS"
    assert agent.running
