"""The broker takes a held offer back (consumer_timeout): the bridge decides who holds it, and the build goes on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from contracts.rabbitmq.facts import QUEUE_CONSUMER_TIMEOUT
from contracts.testing.rabbitmq.node import RabbitMQNode
from tests.faults.conftest import Record
from tests.faults.laboratory.cancelling import CancellingProxy
from tests.faults.laboratory.lab import Lab
from tests.harness.brokers import version_of
from tests.harness.waiting import wait_for

pytestmark = [pytest.mark.rabbitmq, pytest.mark.long, pytest.mark.timeout(400)]

SIZE = 100_000
ONCE = [f"{name} {what}" for name in ("first", "work", "last") for what in ("begin", "end")]
#: Both as short as the broker allows: taken back after 5 s, looked for every 2 s.
SHORT = "[{rabbit,[{consumer_timeout,5000},{channel_tick_interval,2000}]}].\n"


@pytest.mark.brokers
@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_the_build_goes_on(tmp_path: Path, master_database: Path, record: Record, queue_type: str) -> None:
    """Taken back in mid-command, with a second agent there: one build, SUCCESS, each command ran once.

    From 4.3 on classic queues take nothing back.
    """
    with RabbitMQNode(tmp_path / "rabbitmq", advanced=SHORT) as node:
        version = version_of(node.url)
        if version >= QUEUE_CONSUMER_TIMEOUT:
            shorten(node)  # before anybody consumes: in 4.3 a consumer keeps the timeout that it began with
        lab = Lab(tmp_path / "lab", node, "/", master_database)
        try:
            master = lab.master(
                lab.column(steps=lab.three_steps(seconds=40, size=SIZE)), broker=f"queue_type={queue_type!r}"
            )
            lab.agent("a1")
            lab.agent("a2")
            request = master.force("b")
            lab.wait_mark("work", "begin")
            began = time.monotonic()
            build = master.finished(request, 120)
            assert [b.result for b in master.builds(request)] == ["SUCCESS"], master.describe(request)
            assert lab.ran() == ONCE
            lab.check_text(master, build, "work", SIZE)
            taken_back = lab.taken_back()
            expected = version < (4, 3) or queue_type == "quorum"
            assert bool(taken_back) is expected, f"the broker took the offer back {taken_back} times:\n{lab.story()}"
            lab.wait_nothing_left()
        finally:
            lab.end()
    name = ".".join(map(str, version))
    record(
        fault=f"consumer_timeout takes the offer back (RabbitMQ {name}, {queue_type} queues)",
        how="consumer_timeout 5 s, command of 40 s, two agents",
        seen=f"taken back {taken_back} times; one build, SUCCESS; each command ran once; log byte-exact",
        seconds=time.monotonic() - began,
    )


def test_the_broker_cancels_consumers(lab: Lab, record: Record) -> None:
    """As 4.3 does it: consumers of the bridge's queues and of an idle agent's end while their connections live on."""
    with CancellingProxy(lab.node.port) as proxy:
        url = proxy.url(lab.url)
        master = lab.master(lab.column(steps=lab.three_steps(seconds=20, size=SIZE)), url=url)
        lab.agent("a1", url=url)
        request = master.force("b")
        lab.wait_mark("work", "begin")
        lab.agent("a2", url=url)  # idle
        wait_for(lambda: len(proxy.consumers("cap.gtk")) == 2, 20, "the idle agent consumes")
        began = time.monotonic()
        for queue in ("events.m1", "claims.m1", "cap.gtk"):
            assert proxy.consumers(queue), queue
            proxy.cancel(queue)
        wait_for(lambda: "consumer_cancelled_by_broker" in lab.agents[1].log(), 20, "the idle agent has noticed")
        build = master.finished(request, 90)
        assert [b.result for b in master.builds(request)] == ["SUCCESS"], master.describe(request)
        assert lab.ran() == ONCE
        lab.check_text(master, build, "work", SIZE)
        took = time.monotonic() - began
        lab.agents[0].stop()
        again = master.finished(master.force("b"), 90)
        assert (again.result, master.properties(again)["agent"]) == ("SUCCESS", "a2")
        lab.wait_nothing_left()
    record(
        fault="the broker cancels consumers (as RabbitMQ 4.3 does at a timeout)",
        how="a proxy sends `basic.cancel` for the bridge's claims and events and an idle agent's offers, mid-command",
        seen="one build, SUCCESS; each command ran once; log byte-exact; the idle agent consumes again, runs the next",
        seconds=took,
    )


def shorten(node: RabbitMQNode) -> None:
    """From 3.12 on our queues ask for a long time of their own; of that and a policy's, the shorter one counts."""
    node.ctl("set_policy", "short", "^cap\\.", '{"consumer-timeout":5000}', "--apply-to", "queues")
