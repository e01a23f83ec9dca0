"""What Buildbot asks its database for: calls and commits of a step that runs `true`, and of a build of one such step.

A call is one job of Buildbot's database threads: for each one the reactor waits. Counted are those of the master's
whole process between the begins of two steps (of two builds), on a master that does nothing else.
"""

from __future__ import annotations

import itertools
import json
import statistics

from benchmarks.report.figures import Wrong
from benchmarks.stand.peers import Peer
from benchmarks.stand.stage import Stage

#: Builds one after the other.
BUILDS = 10


def run(stage: Stage) -> None:
    peers = [peer for peer in stage.peers if peer.name != "PB-nodelay"]
    for number, what in enumerate(("calls", "commits")):
        stage.measure(
            "database",
            f"{what} a step",
            "",
            "less",
            lambda peer, at=number: _a_step(peer, stage.steps, at),
            peers=peers,
        )
        stage.measure(
            "database", f"{what} a build", "", "less", lambda peer, at=number: _a_build(peer, at), peers=peers
        )


def _a_step(peer: Peer, count: int, at: int) -> float:
    build = peer.run("steps")
    counts = [row[at] for row in _counts(peer, build.row["buildrequestid"])]
    if len(counts) != count:
        raise Wrong(f"{len(counts)} of {count} steps began")
    return statistics.median(after - before for before, after in itertools.pairwise(counts))


def _a_build(peer: Peer, at: int) -> float:
    requests = [peer.run("fanout").row["buildrequestid"] for _ in range(BUILDS)]
    counts = [_counts(peer, request)[0][at] for request in requests]
    return statistics.median(after - before for before, after in itertools.pairwise(counts))


def _counts(peer: Peer, request: int) -> list[tuple[int, int]]:
    """(calls, commits) of the master's process so far, when each step of a build request began."""
    rows = map(json.loads, (peer.master.folder / "counts").read_text().splitlines())
    return [(calls, commits) for found, calls, commits in rows if found == request]
