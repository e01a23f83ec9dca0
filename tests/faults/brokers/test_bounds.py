"""1 GB of log through one build: master, broker and agent stay within 100 MB of their idle memory."""

from __future__ import annotations

import threading
import time

import psutil
import pytest

from tests.faults.conftest import Record
from tests.faults.laboratory import processes
from tests.faults.laboratory.lab import Lab

pytestmark = [pytest.mark.rabbitmq, pytest.mark.long, pytest.mark.timeout(1800)]

SIZE = 1_000_000_000
BOUND = 100 * 2**20
ONCE = [f"{name} {what}" for name in ("first", "work", "last") for what in ("begin", "end")]


class Watch(threading.Thread):
    """Samples the memory of process trees: the proportional share, so that what they share is counted once."""

    def __init__(self, roots: dict[str, int]) -> None:
        super().__init__(daemon=True)
        self._roots = roots
        self._over = threading.Event()
        self.peak = dict.fromkeys(roots, 0)

    def sample(self) -> dict[str, int]:
        return {name: sum(map(_share, processes.tree(pid))) for name, pid in self._roots.items()}

    def run(self) -> None:
        while not self._over.wait(0.5):
            for name, size in self.sample().items():
                self.peak[name] = max(self.peak[name], size)

    def end(self) -> None:
        self._over.set()
        self.join()


def _share(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


def test_a_gigabyte_of_log(own_lab: Lab, record: Record) -> None:
    """The log is byte-exact, and nobody grew with it."""
    lab = own_lab
    config = lab.column(steps=lab.three_steps(seconds=1, size=SIZE))
    config += f"builder('warm', gtk_slots, {lab.step('warm', size=5_000_000)})\n"
    master = lab.master(config)
    agent = lab.agent("a1")
    assert master.finished(master.force("warm"), 60).result == "SUCCESS"
    lab.wait_nothing_left()
    lab.marks_file.unlink()
    watch = Watch({"master": master.pid, "broker": lab.node.pid, "agent": agent.pid})
    idle = watch.sample()
    watch.start()
    began = time.monotonic()
    request = master.force("b")
    build = master.finished(request, 600)
    took = time.monotonic() - began
    watch.end()
    assert [b.result for b in master.builds(request)] == ["SUCCESS"], master.describe(request)
    assert lab.ran() == ONCE
    grown = {name: watch.peak[name] - idle[name] for name in idle}
    told = ", ".join(f"{name} {idle[name] >> 20} + {grown[name] >> 20} MiB" for name in idle)
    print(f"1 GB in {took:.0f} s; {told}")
    assert max(grown.values()) < BOUND, told
    lab.check_text(master, build, "work", SIZE)
    lab.wait_nothing_left()
    record(
        fault="1 GB of log through one build",
        how="a command prints it as fast as it can; proportional memory sampled twice a second",
        seen=f"SUCCESS, log byte-exact, {SIZE / took / 1e6:.1f} MB/s; idle and growth at most: {told}",
        seconds=took,
    )
