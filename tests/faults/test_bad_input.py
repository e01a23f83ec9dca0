"""Malformed, oversized, unknown and forged messages at every queue of both sides: to `dead`, and nothing else stops."""

from __future__ import annotations

import time
from collections.abc import Callable

import pika
import pytest

from contracts import topology
from contracts.timing import MESSAGE_MAX
from tests.faults.conftest import Record
from tests.faults.lab import Lab
from tests.faults.nonsense import VALID, Nonsense, nonsense
from tests.harness.agents import Agent
from tests.harness.waiting import wait_for

ONCE = [f"{name} {what}" for name in ("first", "work", "last") for what in ("begin", "end")]
SIZE = 200_000
TO_BRIDGE = ("claim", "resume", "accept", "gone", "event", "pull", "marker")
TO_AGENT = tuple(name for name in VALID if name not in (*TO_BRIDGE, "offer"))
#: `dead` keeps this many; a fuzzer of 50,000 pushes the oldest out.
ALL_SEEN = 5_000


def address_of(lab: Lab) -> str:
    return next(name for name in lab.queues() if name.startswith("agent."))


def throw(lab: Lab, things: list[tuple[str, str, Nonsense]]) -> None:
    """Publish each to (exchange, key)."""
    with pika.BlockingConnection(pika.URLParameters(lab.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for exchange, key, thing in things:
            properties = pika.BasicProperties(headers=thing.headers, delivery_mode=2)
            channel.basic_publish(exchange, key, thing.body, properties)


def places(lab: Lab) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    return {
        "claims": (topology.REPLIES, topology.claims_key("mallory", "m1"), TO_BRIDGE),
        "events": (topology.REPLIES, topology.events_key("mallory", "m1"), TO_BRIDGE),
        "control": (topology.CONTROL, address_of(lab), TO_AGENT),
    }


@pytest.mark.parametrize("count", [600, pytest.param(50_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("side", ["bridge", "agent"])
@pytest.mark.timeout(900)
def test_a_build_goes_on_under_nonsense(lab: Lab, record: Record, side: str, count: int) -> None:
    """The build under way ends with SUCCESS and a byte-exact log; all that cannot be read is in `dead`, "
    "with a reason."""
    seconds = 6 if count < ALL_SEEN else 20
    master = lab.master(lab.column(steps=lab.three_steps(seconds=seconds, size=SIZE)))
    agent = lab.agent("a1")
    request = master.force("b")
    lab.wait_mark("work", "begin")
    chosen = [place for name, place in places(lab).items() if (name == "control") == (side == "agent")]
    began = time.monotonic()
    things: list[tuple[str, str, Nonsense]] = []
    for number, (exchange, key, types) in enumerate(chosen):
        things += [(exchange, key, thing) for thing in nonsense(number, count // len(chosen), types)]
    throw(lab, things)
    build = master.finished(request, 300)
    took = time.monotonic() - began
    assert [b.result for b in master.builds(request)] == ["SUCCESS"], master.describe(request)
    assert lab.ran() == ONCE
    lab.check_text(master, build, "work", SIZE)
    assert agent.running
    unreadable = sum(not thing.readable for _, _, thing in things)
    assert 0 < unreadable < len(things), "some of both"
    if count < ALL_SEEN:
        wait_for(lambda: lab.queues()["dead"] >= unreadable, 20, lambda: f"{unreadable} in dead: {lab.queues()}")
    again = master.finished(master.force("b"), 60)
    assert again.result == "SUCCESS"
    wait_for(lambda: not lab.queues()["claims.m1"] and not lab.queues()["events.m1"], 20, lambda: f"{lab.queues()}")
    record(
        fault=f"{len(things)} malformed and forged messages at the {side}",
        how="raw bytes, broken and mutated messages, other versions, forged sessions, in mid-build",
        seen=f"the build ends with SUCCESS, log byte-exact; {unreadable} unreadable ones buried with a reason",
        seconds=took,
    )


def test_offers_that_are_none(lab: Lab, record: Record) -> None:
    """What is no offer leaves the `cap.*` queue for `dead`; the next build starts as ever."""
    master = lab.master(lab.column(steps=lab.step("only")))
    lab.agent("a1")
    wait_for(lambda: master.finished(master.force("b"), 60).result == "SUCCESS", 60, "a build")
    key = topology.cap_queue("gtk")
    # an offer of another version is parked instead: an agent of that version may come
    bad = [thing for thing in nonsense(7, 400, ("offer",)) if not thing.readable and not thing.newer]
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
    return [(exchange, key, huge) for exchange, key, _ in places(lab).values()]


@pytest.mark.parametrize("make", [_oversized])
def test_oversized(lab: Lab, make: Callable[[Lab], list[tuple[str, str, Nonsense]]]) -> None:
    """More JSON than either side reads is buried, unread."""
    master = lab.master(lab.column(steps=lab.step("only")))
    agent: Agent = lab.agent("a1")
    things = make(lab)
    throw(lab, things)
    wait_for(lambda: lab.queues()["dead"] >= len(things), 30, lambda: f"in dead: {lab.queues()}")
    assert master.finished(master.force("b"), 60).result == "SUCCESS"
    assert agent.running
