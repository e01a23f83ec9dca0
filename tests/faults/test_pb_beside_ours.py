"""Buildbot's own worker and protocol put through the same, for the table: what is measured, not what is hoped for."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from tests.faults.conftest import Record
from tests.faults.laboratory import pb, processes
from tests.faults.laboratory.lab import Lab
from tests.faults.laboratory.proxy import Proxy
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]

#: Nothing is noticed within this long; PB's keepalive is 10 minutes.
PATIENCE = 60.0


class Beside:
    """A master with two PB workers; `first` runs the build, `second` may take it over."""

    def __init__(self, lab: Lab, seconds: float) -> None:
        self.lab = lab
        self.master: BuildMaster = lab.master(pb.config(lab.three_steps(seconds=seconds, size=0)), url=None)
        self.proxy = Proxy(self.master.pb_port)
        self.workers: list[pb.PBWorker] = []

    def worker(self, name: str) -> pb.PBWorker:
        worker = pb.PBWorker(self.lab, name, self.proxy.port).start()
        self.workers.append(worker)
        worker.wait_attached(self.master)
        return worker

    def begin(self) -> tuple[int, pb.PBWorker]:
        first = self.worker("pb1")
        request = self.master.force("b")
        self.lab.wait_mark("work", "begin", agent="pb1")
        return request, first

    def results(self, request: int) -> list[str]:
        return [build.result for build in self.master.builds(request)]

    def end(self) -> None:
        for worker in self.workers:
            worker.end()
        self.proxy.close()


@pytest.fixture
def beside(lab: Lab) -> Iterator[Callable[[float], Beside]]:
    made: list[Beside] = []

    def make(seconds: float) -> Beside:
        made.append(Beside(lab, seconds))
        return made[-1]

    yield make
    for one in made:
        one.end()


def test_all_of_a_worker_killed(beside: Callable[[float], Beside], record: Record) -> None:
    """Its connection ends with it, so the build runs elsewhere at once."""
    it = beside(8)
    request, first = it.begin()
    it.worker("pb2")
    killed = time.time()
    processes.kill_all(lambda: processes.tree(first.pid))
    elsewhere = it.lab.wait_mark("first", "begin", agent="pb2").time - killed
    it.master.finished(request, 60)
    assert it.results(request) == ["RETRY", "SUCCESS"]
    record(
        fault="all of an agent killed in mid-command",
        how="the same",
        seen="RETRY, then SUCCESS on another worker",
        seconds=elsewhere,
        protocol="PB",
    )


def test_main_process_killed(beside: Callable[[float], Beside], record: Record) -> None:
    """The command runs on as an orphan beside the build's second run."""
    it = beside(8)
    request, first = it.begin()
    it.worker("pb2")
    killed = time.time()
    os.kill(first.pid, signal.SIGKILL)
    elsewhere = it.lab.wait_mark("first", "begin", agent="pb2").time - killed
    it.lab.wait_mark("work", "end", agent="pb1")
    it.master.finished(request, 60)
    record(
        fault="the agent's main process killed, nobody starts it again",
        how="the same",
        seen="RETRY, then SUCCESS on another worker; the first command ran on to its end as an orphan",
        seconds=elsewhere,
        protocol="PB",
    )


def test_main_process_killed_and_started_again(beside: Callable[[float], Beside], record: Record) -> None:
    """The command is lost for Buildbot, and runs a second time beside the orphan."""
    it = beside(8)
    request, first = it.begin()
    killed = time.monotonic()
    first.end()
    first.start()
    it.master.finished(request, 60)
    assert it.results(request) == ["RETRY", "SUCCESS"]
    assert it.lab.ran().count("work begin") == 2
    record(
        fault="the agent's main process killed, started again at once",
        how="the same",
        seen="RETRY, then SUCCESS: every command ran a second time, the old one beside the new one",
        seconds=time.monotonic() - killed,
        protocol="PB",
    )


def test_stands_still(beside: Callable[[float], Beside], record: Record) -> None:
    """SIGSTOP: not noticed; the build hangs as long as the worker does."""
    it = beside(20)
    request, first = it.begin()
    it.worker("pb2")
    stopped = time.monotonic()
    frozen = processes.freeze(lambda: processes.tree(first.pid))
    wait_for(lambda: time.monotonic() > stopped + PATIENCE, PATIENCE + 5, "a minute", every=0.5)
    assert it.results(request) == ["RUNNING"]
    processes.thaw(frozen)
    it.master.finished(request, 60)
    record(
        fault="an agent stands still for a minute (everything)",
        how="the same",
        seen=f"not noticed within {PATIENCE:.0f} s: the build hung until SIGCONT, and its other worker was idle",
        seconds=None,
        protocol="PB",
    )


def test_link_reset(beside: Callable[[float], Beside], record: Record) -> None:
    """Any reset throws the running step away."""
    it = beside(8)
    request, _ = it.begin()
    began = time.monotonic()
    it.proxy.reset()
    it.master.finished(request, 90)
    assert it.results(request) == ["RETRY", "SUCCESS"]
    assert it.lab.ran().count("work begin") == 2
    record(
        fault="the agent's TCP connections are reset",
        how="the same",
        seen="RETRY: every command ran a second time (seconds: to the second build's end)",
        seconds=time.monotonic() - began,
        protocol="PB",
    )


def test_master_killed(beside: Callable[[float], Beside], record: Record) -> None:
    """The whole build runs again from its first step."""
    it = beside(10)
    request, _ = it.begin()
    began = time.monotonic()
    it.master.kill()
    it.master.start()
    assert it.master.finished(request, 90).result == "SUCCESS"
    assert it.lab.ran().count("first begin") == 2
    assert it.lab.ran().count("work begin") == 2
    record(
        fault="master killed in mid-command and started again",
        how="the same",
        seen="RETRY, then SUCCESS: every command ran a second time; the first log ends where the master ended",
        seconds=time.monotonic() - began,
        protocol="PB",
    )


def test_master_stopped(beside: Callable[[float], Beside], record: Record) -> None:
    """`buildbot stop` interrupts the command, and the build is not run again."""
    it = beside(30)
    request, _ = it.begin()
    it.master.stop()
    it.master.start()
    assert it.master.finished(request, 90).result == "CANCELLED"
    assert it.lab.ran() == ["first begin", "first end", "work begin"]
    record(
        fault="`buildbot stop` in mid-command, then `buildbot start`",
        how="the same",
        seen="the command is killed, the build is CANCELLED and does not run again",
        seconds=None,
        protocol="PB",
    )


def test_worker_restarted_on_purpose(beside: Callable[[float], Beside], record: Record) -> None:
    """A restart of the worker loses the command."""
    it = beside(8)
    request, first = it.begin()
    began = time.monotonic()
    first.end(signal.SIGTERM)
    first.start()
    it.master.finished(request, 90)
    assert it.results(request) == ["RETRY", "SUCCESS"]
    record(
        fault="an agent is restarted on purpose in mid-command",
        how="SIGTERM, start",
        seen="RETRY: every command ran a second time (seconds: to the second build's end)",
        seconds=time.monotonic() - began,
        protocol="PB",
    )
