"""An agent is cut off, or stands still: its build runs elsewhere; when it comes back it is refused, and cleans up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from contracts.testing.rabbitmq.node import RabbitMQNode
from contracts.testing.rabbitmq.ports import free_ports
from tests.faults.conftest import LOG_SIZE, Record
from tests.faults.laboratory import processes
from tests.faults.laboratory.lab import Lab
from tests.faults.laboratory.namespace import Namespace
from tests.harness.agents import Agent
from tests.harness.waiting import wait_for
from tests.harness.ways import RABBITMQ, office

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

#: The issue's bound at the agent's default heartbeat of 10 s.
ELSEWHERE = 35.0


class Divided:
    """A lab whose agents may live behind a cable that can be cut."""

    def __init__(self, lab: Lab, namespace: Namespace, port: int | None = None) -> None:
        """`port`: where it listens at the cable, where that is another than elsewhere."""
        self.lab = lab
        self.namespace = namespace
        self._port = port

    def far(self, **settings: Any) -> Agent:
        """An agent at the other end."""
        return self.lab.agent("far", by=self._port, host=self.namespace.host, prefix=self.namespace.prefix, **settings)


@pytest.fixture(scope="module")
def _divided(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, master_database: Path
) -> Iterator[Divided]:
    folder, transport = tmp_path_factory.mktemp("divided"), request.config.getoption("--transport")
    with ExitStack() as stack:
        namespace = stack.enter_context(Namespace())
        if transport == RABBITMQ:
            (port,) = free_ports(1)
            far = {"listeners.tcp.2": f"{namespace.host}:{port}", "loopback_users": "none"}
            node = stack.enter_context(RabbitMQNode(folder / "rabbitmq", config=far))
            divided = Divided(Lab(folder / "lab", node, "/", master_database), namespace, port)
        else:
            way = office(transport, folder / "lab" / "master-m1", listens="0.0.0.0")  # the cable's, too
            divided = Divided(Lab.without_broker(folder / "lab", way, master_database), namespace)
        lab = divided.lab
        stack.callback(lab.end)
        long_steps = lab.three_steps(seconds=100, size=LOG_SIZE, tick=True)
        config = lab.column(builder="long", steps=long_steps)
        config += lab.column(builder="strict", column="strict", steps=long_steps, more=", fencing='strict'")
        config += lab.column(builder="short", column="short", steps=lab.three_steps(seconds=20, size=LOG_SIZE))
        lab.settle(lab.master(config))
        yield divided


@pytest.fixture
def divided(_divided: Divided) -> Iterator[Divided]:
    yield _divided
    _divided.namespace.heal()
    _divided.lab.clear()


def stop(lab: Lab, request: int) -> None:
    """The second run has shown what it had to."""
    master = lab.masters[0]
    master.call(f"/builds/{master.builds(request)[-1].id}", "stop", reason="seen")
    master.finished(request, 30)


@pytest.mark.root
def test_cut_off_for_longer_than_the_grace(divided: Divided, record: Record) -> None:
    """Elsewhere within 35 s at a 10 s heartbeat; healed, it is refused and leaves no process behind."""
    lab = divided.lab
    master = lab.masters[0]
    far = divided.far()
    request = master.force("long")
    lab.wait_mark("work", "begin", agent="far")
    lab.agent("near")
    cut = time.time()
    divided.namespace.cut()
    elsewhere = lab.wait_mark("first", "begin", agent="near", timeout=60).time - cut
    assert lab.processes_of(far), "not strictly fenced, so its command goes on"
    divided.namespace.heal()
    healed = time.monotonic()
    lab.wait_no_process(90, far)
    cleaned = time.monotonic() - healed
    assert far.running
    assert "work end" not in [f"{mark.name} {mark.what}" for mark in lab.marks() if mark.agent == "far"]
    stop(lab, request)
    assert [b.result for b in master.builds(request)] == ["RETRY", "CANCELLED"]
    lab.wait_nothing_left()
    assert elsewhere < ELSEWHERE
    record(
        fault="an agent's network drops all packets both ways",
        how="iptables DROP in its network namespace, heartbeat 10 s; healed after the build ran elsewhere",
        seen=f"RETRY, runs on another agent; {cleaned:.0f} s after healing the old command's processes "
        "are gone and the "
        "agent takes work again",
        seconds=elsewhere,
    )


@pytest.mark.root
def test_strict_fencing(divided: Divided, record: Record) -> None:
    """With fencing="strict" the cut off command is dead before the build's command starts elsewhere."""
    lab = divided.lab
    master = lab.masters[0]
    divided.far(capabilities=["strict"])
    request = master.force("strict")
    lab.wait_mark("work", "begin", agent="far")
    lab.agent("near", capabilities=["strict"])
    cut = time.time()
    divided.namespace.cut()
    elsewhere = lab.wait_mark("first", "begin", agent="near", timeout=90).time
    lab.wait_mark("work", "begin", agent="near")
    last_tick = max(mark.time for mark in lab.marks(lab.ticks_file) if mark.agent == "far")
    assert last_tick < elsewhere, f"the old command ran for {last_tick - elsewhere:.1f} s beside the new one"
    divided.namespace.heal()
    stop(lab, request)
    lab.wait_nothing_left(90)
    record(
        fault='an agent with fencing="strict" is cut off',
        how="iptables DROP in its network namespace; the command writes a tick every 20 ms",
        seen=f"last tick of the old command {last_tick - cut:.1f} s after the cut, {elsewhere - last_tick:.1f} s "
        "before the build started elsewhere",
        seconds=elsewhere - cut,
    )


@pytest.mark.root
def test_cut_off_for_less_than_the_grace(divided: Divided, record: Record) -> None:
    """Packets dropped for 4 s: TCP sends them again, and nobody notices."""
    lab = divided.lab
    master = lab.masters[0]
    divided.far(capabilities=["short"])
    request = master.force("short")
    lab.wait_mark("work", "begin", agent="far")
    cut = time.monotonic()
    divided.namespace.cut()
    wait_for(lambda: time.monotonic() > cut + 4, 10, "the cut")
    divided.namespace.heal()
    build = master.finished(request, 60)
    assert [b.result for b in master.builds(request)] == ["SUCCESS"], master.describe(request)
    lab.check_text(master, build, "work", LOG_SIZE)
    lab.wait_nothing_left()
    record(
        fault="an agent's network drops all packets for 4 s",
        how="iptables DROP in its network namespace, then healed",
        seen="one build, SUCCESS; log byte-exact",
        seconds=None,
    )


@pytest.mark.parametrize("what", ["everything", "main process"])
def test_stopped_for_a_minute(divided: Divided, record: Record, what: str) -> None:
    """SIGSTOP for a minute and SIGCONT: the build runs elsewhere, the agent is refused and leaves nothing behind."""
    lab = divided.lab
    master = lab.masters[0]
    agent = lab.agent("still")
    request = master.force("long")
    lab.wait_mark("work", "begin", agent="still")
    lab.agent("near")
    stopped = time.time()
    if what == "everything":
        frozen = processes.freeze(lambda: processes.tree(agent.pid))
    else:
        frozen = processes.freeze(lambda: processes.tree(agent.pid)[:1])
    elsewhere = lab.wait_mark("first", "begin", agent="near", timeout=60).time - stopped
    wait_for(lambda: time.time() > stopped + 60, 70, "a minute", every=0.5)
    processes.thaw(frozen)
    thawed = time.monotonic()
    lab.wait_no_process(90, agent)
    cleaned = time.monotonic() - thawed
    assert "work end" not in [f"{mark.name} {mark.what}" for mark in lab.marks() if mark.agent == "still"]
    stop(lab, request)
    assert [b.result for b in master.builds(request)] == ["RETRY", "CANCELLED"]
    lab.wait_nothing_left()
    assert elsewhere < ELSEWHERE
    record(
        fault=f"an agent stands still for a minute ({what})",
        how="SIGSTOP, SIGCONT after 60 s; heartbeat 10 s",
        seen=f"RETRY, runs on another agent; {cleaned:.0f} s after SIGCONT the old command's processes are gone",
        seconds=elsewhere,
    )
