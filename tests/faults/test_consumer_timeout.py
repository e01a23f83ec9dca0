"""The broker takes a held offer back (consumer_timeout): the bridge decides who holds it, and the build goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.testing.rabbitmq_node import RabbitMQNode
from tests.faults.broker4 import server_of_version_4
from tests.faults.cancelling import CancellingProxy
from tests.faults.conftest import Record
from tests.faults.lab import Lab
from tests.harness.waiting import wait_for

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

SIZE = 100_000
ONCE = [f"{name} {what}" for name in ("first", "work", "last") for what in ("begin", "end")]
#: Both as short as the broker allows: taken back after 5 s, looked for every 2 s.
SHORT = "[{rabbit,[{consumer_timeout,5000},{channel_tick_interval,2000}]}].\n"
VERSIONS: dict[str, Callable[[], str | None]] = {"3": lambda: None, "4": server_of_version_4}


@pytest.mark.parametrize("version", list(VERSIONS))
def test_the_build_goes_on(
    tmp_path: Path, master_database: Path, monkeypatch: pytest.MonkeyPatch, record: Record, version: str
) -> None:
    """Taken back in mid-command, with a second agent there: one build, SUCCESS, each command ran once."""
    server = VERSIONS[version]()
    if server is not None:
        monkeypatch.setenv("RABBITMQ_SERVER", server)
    with RabbitMQNode(tmp_path / "rabbitmq", advanced=SHORT) as node:
        lab = Lab(tmp_path / "lab", node, "/", master_database)
        try:
            master = lab.master(lab.column(steps=lab.three_steps(seconds=40, size=SIZE)))
            lab.agent("a1")
            lab.agent("a2")
            request = master.force("b")
            lab.wait_mark("work", "begin")
            began = time.monotonic()
            if server is not None:
                shorten(node)
            build = master.finished(request, 120)
            assert [b.result for b in master.builds(request)] == ["SUCCESS"], master.describe(request)
            assert lab.ran() == ONCE
            lab.check_text(master, build, "work", SIZE)
            said = node.log_tail(100_000)
            taken_back = said.count("timed out waiting for")  # "… delivery acknowledgement", "a consumer …"
            assert taken_back, "the broker never took the offer back: the test shows nothing"
            lab.wait_nothing_left()
            found = node.ctl("version").strip()
        finally:
            lab.end()
    record(
        fault=f"consumer_timeout takes the offer back (RabbitMQ {found})",
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
