"""Logs: lines of 100 bytes through to Buildbot's database, one build and eight at once, and the first line's way."""

from __future__ import annotations

import time

from benchmarks.report.figures import Wrong
from benchmarks.stand.logs import StoredLog, stored_output
from benchmarks.stand.peers import WORKERS, Peer
from benchmarks.stand.processes import Peak
from benchmarks.stand.stage import MB, Stage
from tests.harness.waiting import wait_for

#: A build that prints 25 MB takes 10 s with Buildbot's protocols on an idle machine.
_TIMEOUT = 600.0


def run(stage: Stage) -> None:
    peaks: dict[str, list[float]] = {}
    size = stage.log_sent.bytes / MB
    stage.measure("log", "one build", "MB/s", "more", lambda peer: size / _print(peer, stage.log_sent, peaks))
    for name, values in peaks.items():
        stage.add("log", "master's memory grows by", name, "MB", "less", values)
    compared = [peer for peer in stage.peers if peer.name == "PB" or peer.ours]
    stage.measure("log", "first line visible after", "s", "less", _first_line, peers=compared)
    for peer in compared:
        peer.have_workers(WORKERS)
    size8 = WORKERS * stage.log8_sent.bytes / MB
    stage.measure(
        "log", "8 builds at once", "MB/s", "more", lambda peer: size8 / _print8(peer, stage.log8_sent), peers=compared
    )
    for peer in compared:
        peer.have_workers(1)


def _print(peer: Peer, sent: StoredLog, peaks: dict[str, list[float]]) -> float:
    with Peak(peer.master.pid) as peak:
        build = peer.run("log", _TIMEOUT)
    peaks.setdefault(peer.name, []).append(peak.highest - peak.before)
    peer.settle()
    return _checked(peer, build.row["buildrequestid"], sent)


def _print8(peer: Peer, sent: StoredLog) -> float:
    requests = [peer.master.force("log8") for _ in range(WORKERS)]
    for request in requests:
        peer.finished(request, _TIMEOUT)
    peer.settle()
    for request in requests:
        _checked(peer, request, sent)
    begins = [at for request in requests for _, what, at in peer.stamps(request) if what == "begin"]
    ends = [at for request in requests for _, what, at in peer.stamps(request) if what == "end"]
    return max(ends) - min(begins)


def _checked(peer: Peer, request: int, sent: StoredLog) -> float:
    """Seconds that the step took, if the master has what was printed."""
    build = peer.master.builds(request)[-1]
    if build.result != "SUCCESS":
        raise Wrong(f"the build ended as {build.result}")
    step = build.steps["print"]["stepid"]
    log = peer.master.get(f"/steps/{step}/logs")["logs"][0]["logid"]
    stored = stored_output(peer.master.folder / "state.sqlite", log)
    if stored != sent:
        raise Wrong(f"{stored.lines} lines, {stored.bytes} bytes stored of {sent.lines} lines, {sent.bytes} bytes")
    marks = {what: at for _, what, at in peer.stamps(request)}
    return marks["end"] - marks["begin"]


def _first_line(peer: Peer) -> float:
    """Seconds from the step's begin until a reader of Buildbot's REST API sees a line that is followed by silence."""
    request = peer.master.force("first")

    def seen() -> float | None:
        builds = peer.master.builds(request)
        if builds and "first" in builds[-1].steps:
            build = builds[-1]
            logs = peer.master.get(f"/steps/{build.steps['first']['stepid']}/logs")["logs"]
            if logs and "one\n" in peer.master.output(build, "first"):
                return time.monotonic()
        return None

    at = wait_for(seen, 60, "the first line is visible", every=0.02)
    marks = {what: when for _, what, when in peer.stamps(request)}
    peer.master.finished(request)
    return at - marks["begin"]
