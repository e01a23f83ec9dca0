"""What Buildbot asks its database for: calls and commits of a step that runs `true`, and of a build of one such step.

A call is one job of Buildbot's database threads: for each one the reactor waits. Counted are those of the master's
whole process between the begins of two steps (of two builds), on a master that does nothing else.

With each build's end Buildbot looks for another one for all builders of its worker: three to four calls for each. So
the build is one of a builder whose workers all serve the same builders, with each peer: with PB the one worker that is
there, with ours whichever place Buildbot takes.
"""

from __future__ import annotations

import itertools
import json
import statistics

from benchmarks.measures.many import STEPS
from benchmarks.report.figures import Wrong
from benchmarks.stand.peers import Peer
from benchmarks.stand.stage import Stage

#: Builds one after the other: medians of one less, and of nine steps.
BUILDS = 4


def run(stage: Stage) -> None:
    left_out = {"PB-nodelay", *(("amp",) if stage.quick else ())}
    for peer in [
        peer for peer in stage.peers if peer.name not in left_out
    ]:  # one round: they are numbers of what Buildbot did, not times
        peer.settle()
        build = peer.run("many")
        steps = _counts(peer, build.row["buildrequestid"])
        if len(steps) != STEPS:
            raise Wrong(f"{len(steps)} of {STEPS} steps of {peer.name} began")
        requests = [peer.run("dispatch").row["buildrequestid"] for _ in range(2 if stage.quick else BUILDS)]
        builds = [_counts(peer, request)[0] for request in requests]
        for of, counts in (("step", steps), ("build", builds)):
            for what, values in zip(("calls", "commits"), zip(*counts, strict=True), strict=True):
                each = statistics.median(after - before for before, after in itertools.pairwise(values))
                stage.add("database", f"{what} a {of}", peer.name, "", "less", [each])


def _counts(peer: Peer, request: int) -> list[tuple[int, int]]:
    """(calls, commits) of the master's process so far, when each step of a build request began."""
    rows = map(json.loads, (peer.master.folder / "counts").read_text().splitlines())
    return [(calls, commits) for found, calls, commits in rows if found == request]
