"""What an idle worker costs: memory, CPU, and the time from its start until it can be given work."""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks.stand.peers import Peer
from benchmarks.stand.processes import cpu_seconds, proportional_memory, resident_memory, tree
from benchmarks.stand.stage import Stage
from worker_agent.keepers.starting import LINGER

#: Seconds after its last build at which ours has ended its fork server.
_IDLE = LINGER + 2


def run(stage: Stage) -> None:
    peers = [peer for peer in stage.peers if peer.name != "PB-nodelay"]
    if not stage.quick:
        for peer in peers:
            if peer.fresh_since is None:
                peer.renew()
        idle = max(peer.fresh_since for peer in peers if peer.fresh_since is not None) + _IDLE
        time.sleep(max(0.0, idle - time.monotonic()))  # the case before this one may have taken that time
        _memory(stage, peers, "")
    seconds = 5.0 if stage.quick else 30.0
    began, used = time.monotonic(), {pid: cpu_seconds([pid]) for peer in peers for pid in _pids(peer)}
    time.sleep(seconds)
    took = time.monotonic() - began
    for peer in peers:
        part = 100 * sum(cpu_seconds([pid]) - used.get(pid, 0.0) for pid in _pids(peer)) / took
        stage.add("footprint", "idle", peer.name, "% of a core", "less", [part])
    stage.measure("footprint", "start until it takes work", "s", "less", _start, peers=peers)
    _memory(stage, peers, ", just after a build")


def _memory(stage: Stage, peers: Sequence[Peer], when: str) -> None:
    for peer in peers:
        peer.settle()
    for what, memory in (("resident memory", resident_memory), ("proportional memory (PSS)", proportional_memory)):
        for peer in peers:
            values = [memory(_pids(peer)) for _ in range(stage.rounds)]
            stage.add("footprint", f"{what}{when}", peer.name, "MB", "less", values)


def _pids(peer: Peer) -> list[int]:
    return tree(peer.workers[0].pid)


def _start(peer: Peer) -> float:
    peer.have_workers(0)
    began = time.monotonic()
    peer.have_workers(1)
    took = time.monotonic() - began
    peer.run("dispatch")
    return took
