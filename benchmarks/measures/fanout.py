"""Short builds, all queued at once: builds of one `true` step on 2, 8 and 24 workers.

Builds a second, from the first step's begin to the last one's end; CPU of the master, and of a worker with all that it
starts, by builds.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.report.figures import Wrong
from benchmarks.stand.peers import Peer
from benchmarks.stand.processes import cpu_of_trees
from benchmarks.stand.stage import Stage

CROWDS = (2, 8, 24)
#: Builds for each worker, and how many at least: a worker's first build costs more.
EACH, LEAST = 4, 32


@dataclass(frozen=True, kw_only=True)
class Played:
    """Builds a second; CPU in ms a build."""

    rate: float
    master: float
    worker: float


def run(stage: Stage) -> None:
    peers = [peer for peer in stage.peers if peer.name not in ("msgpack", "PB-nodelay")]  # PB's figures, both of them
    for crowd in CROWDS[:1] if stage.quick else CROWDS:
        for peer in peers:
            peer.have_workers(crowd)
        builds = max(EACH * crowd, LEAST) // (2 if stage.quick else 1)
        played: dict[str, list[Played]] = {peer.name: [] for peer in peers}

        def rate(peer: Peer, builds: int = builds, played: dict[str, list[Played]] = played) -> float:
            played[peer.name].append(play(peer, builds))
            return played[peer.name][-1].rate

        stage.measure("fanout", f"{crowd} workers", "builds/s", "more", rate, peers=peers)
        for peer in peers:
            for what, values in (
                ("CPU of the master", [each.master for each in played[peer.name]]),
                ("CPU of a worker", [each.worker for each in played[peer.name]]),
            ):
                stage.add("fanout", f"{what}, {crowd} workers", peer.name, "ms a build", "less", values)
    for peer in peers:
        peer.have_workers(1)


def play(peer: Peer, count: int) -> Played:
    """Raises `Wrong`: a build did not run as it should."""
    workers = [worker.pid for worker in peer.workers]
    before = cpu_of_trees([peer.master.pid]), cpu_of_trees(workers)
    requests = [peer.master.force("fanout") for _ in range(count)]
    begins, ends = [], []
    for request in reversed(requests):  # the last one ends last: hardly any question costs the master time
        build = peer.finished(request, 600)
        if build.result != "SUCCESS":
            raise Wrong(f"a build ended as {build.result}")
        stamps = peer.stamps(request)
        if [what for _, what, _ in stamps] != ["begin", "end"]:
            raise Wrong(f"notes of a build of one step: {stamps}")
        begins.append(stamps[0][2])
        ends.append(stamps[-1][2])
    after = cpu_of_trees([peer.master.pid]), cpu_of_trees(workers)
    master, worker = (1000 * (now - then) / count for then, now in zip(before, after, strict=True))
    return Played(rate=count / (max(ends) - min(begins)), master=master, worker=worker)
