"""24 builds of 10 steps on 8 workers: from the first step's begin to the last one's end."""

from __future__ import annotations

from benchmarks.report.figures import Wrong
from benchmarks.stand.peers import WORKERS, Peer
from benchmarks.stand.stage import Stage

BUILDS = 24
STEPS = 10


def run(stage: Stage) -> None:
    peers = [peer for peer in stage.peers if peer.name not in ("msgpack", "PB-nodelay")]  # PB's figures, both of them
    builds = BUILDS // 3 if stage.quick else BUILDS
    for peer in peers:
        peer.have_workers(WORKERS)
    stage.measure(
        "many", "steps of 8 workers", "steps/s", "more", lambda peer: builds * STEPS / play(peer, builds), peers=peers
    )
    for peer in peers:
        peer.have_workers(1)


def play(peer: Peer, count: int) -> float:
    requests = [peer.master.force("many") for _ in range(count)]
    begins, ends = [], []
    for request in requests:
        build = peer.finished(request, 600)
        if build.result != "SUCCESS":
            raise Wrong(f"a build ended as {build.result}")
        stamps = peer.stamps(request)
        if [what for _, what, _ in stamps].count("end") != STEPS:
            raise Wrong(f"{len(stamps)} notes of a build of {STEPS} steps")
        begins.append(stamps[0][2])
        ends.append(stamps[-1][2])
    return max(ends) - min(begins)
