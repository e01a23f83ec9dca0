"""From the build request to the first command, end to end: Buildbot's REST call to `date` on the worker, one clock."""

from __future__ import annotations

import statistics
import time

from benchmarks.report.figures import Wrong
from benchmarks.stand.peers import Peer
from benchmarks.stand.stage import Stage


def run(stage: Stage) -> None:
    builds = 3 if stage.quick else 5
    stage.measure("dispatch", "request to first command", "ms", "less", lambda peer: _dispatch(peer, builds))


def _dispatch(peer: Peer, builds: int) -> float:
    """The median of some builds, one after the other."""
    times = []
    for _ in range(builds):
        asked = time.time()
        build = peer.run("dispatch")
        told = peer.output(build, "now").strip()
        if not told:
            raise Wrong("the command's output is missing")
        times.append(1000 * (float(told) - asked))
    return statistics.median(times)
