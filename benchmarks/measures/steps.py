"""What a step costs: a build of many steps that run `true`; from one step's begin to the next one's, the median.

And what of it is Buildbot's own, whatever the protocol: the same steps without a command, on the same masters.
"""

from __future__ import annotations

import itertools
import statistics

from benchmarks.report.figures import Wrong
from benchmarks.stand.peers import Peer
from benchmarks.stand.stage import Stage


def run(stage: Stage) -> None:
    stage.measure("steps", "a `true` step", "ms", "less", lambda peer: _step(peer, "steps", stage.steps))
    compared = [peer for peer in stage.peers if peer.name in ("PB", "ours")]
    stage.measure(
        "steps", "of it Buildbot alone", "ms", "less", lambda peer: _step(peer, "alone", stage.steps), peers=compared
    )


def _step(peer: Peer, builder: str, count: int) -> float:
    build = peer.run(builder)
    begins = [at for _, what, at in peer.stamps(build.row["buildrequestid"]) if what == "begin"]
    if len(begins) != count:
        raise Wrong(f"{len(begins)} of {count} steps began")
    return 1000 * statistics.median(after - before for before, after in itertools.pairwise(begins))
