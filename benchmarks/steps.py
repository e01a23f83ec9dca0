"""What a step costs: a build of many steps that run `true`; from one step's begin to the next one's, the median."""

from __future__ import annotations

import itertools
import statistics

from benchmarks.figures import Wrong
from benchmarks.peers import Peer
from benchmarks.stage import Stage


def run(stage: Stage) -> None:
    stage.measure("steps", "a `true` step", "ms", "less", lambda peer: _step(peer, stage.steps))


def _step(peer: Peer, count: int) -> float:
    build = peer.run("steps")
    begins = [at for _, what, at in peer.stamps(build.row["buildrequestid"]) if what == "begin"]
    if len(begins) != count:
        raise Wrong(f"{len(begins)} of {count} steps began")
    return 1000 * statistics.median(after - before for before, after in itertools.pairwise(begins))
