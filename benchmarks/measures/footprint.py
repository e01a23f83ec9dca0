"""What an idle worker costs: memory, CPU, and the time from its start until it can be given work."""

from __future__ import annotations

import time

from benchmarks.stand.peers import Peer
from benchmarks.stand.processes import cpu_seconds, proportional_memory, resident_memory, tree
from benchmarks.stand.stage import Stage
from worker_agent.keepers.starting import LINGER


def run(stage: Stage) -> None:
    peers = [peer for peer in stage.peers if peer.name != "PB-nodelay"]
    stage.measure("footprint", "start until it takes work", "s", "less", _start, peers=peers)
    for when in ("just after a build",) if stage.quick else ("just after a build", "idle"):
        if when == "idle":
            time.sleep(LINGER + 2)  # ours ends its fork server
        for what, memory in (("resident memory", resident_memory), ("proportional memory (PSS)", proportional_memory)):
            name = what if when == "idle" else f"{what}, {when}"
            stage.measure("footprint", name, "MB", "less", lambda peer, read=memory: read(_pids(peer)), peers=peers)
    seconds = 5.0 if stage.quick else 30.0
    began, used = time.monotonic(), {pid: cpu_seconds([pid]) for peer in peers for pid in _pids(peer)}
    time.sleep(seconds)
    took = time.monotonic() - began
    for peer in peers:
        part = 100 * sum(cpu_seconds([pid]) - used.get(pid, 0.0) for pid in _pids(peer)) / took
        stage.add("footprint", "idle", peer.name, "% of a core", "less", [part])


def _pids(peer: Peer) -> list[int]:
    return tree(peer.workers[0].pid)


def _start(peer: Peer) -> float:
    peer.have_workers(0)
    began = time.monotonic()
    peer.have_workers(1)
    took = time.monotonic() - began
    peer.run("dispatch")
    return took
