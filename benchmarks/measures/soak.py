"""Builds without a pause for `--minutes`: does anything grow? Memory, objects, tasks, descriptors, files, …

Each quantity has its slope an hour: the median is the slope, its spread the 95 % confidence interval. It is fitted to
means of a minute, since samples that follow one another are alike. No growth can be shown where the interval has zero
in it.

Left out is what fills once. That is the first third, and more where an agent does not remember as many sessions yet as
it ever will: `worker_agent.core.ended.REMEMBERED`, of some 2 KB each. A run that has too few builds for that, as on a
machine that does other things, says "growth while it fills": it cannot tell the two apart. The bridge keeps connections
of SQLite open (`master_bridge/buildbot/internals/database.py`), each with a page cache that fills to 2 MB; how much
SQLite has is told beside the master's memory.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks.report.figures import Wrong
from benchmarks.stand.peers import Peer
from benchmarks.stand.processes import resident_memory, tree
from benchmarks.stand.stage import Stage
from tests.harness.waiting import wait_for
from worker_agent.core.ended import REMEMBERED

WORKERS = 2
#: Builds that are queued or run at any time. Short ones: what is remembered of a thousand builds is complete soon.
QUEUED = 12
BUILDER = "fanout"
#: Seconds between two samples, and of one mean.
EVERY, MEAN = 5.0, 60.0
#: Of the time that is left out in any case.
WARM = 1 / 3
#: Builds after which all agents remember as many as they can, with a tenth more, since none has exactly its share.
FULL = int(1.1 * WORKERS * REMEMBERED)
#: Broker objects by their names in `rabbitmqctl list_…`.
OBJECTS = ("connections", "channels", "queues", "consumers", "exchanges", "bindings")


def run(stage: Stage) -> None:
    peer = next(peer for peer in stage.peers if peer.name == "ours")
    peer.have_workers(0)
    peer.have_workers(WORKERS, "benchmarks.stand.counted_agent")
    (peer.master.folder / "held").write_text("{}")
    wait_for(lambda: all(_held(folder) for folder in _holders(peer)), 60, "all tell what they hold")
    samples, counts = _samples(stage, peer, 60 * stage.minutes)
    hours = stage.minutes / 60
    stage.add("soak", "builds", "ours", "builds/s", "more", [counts[-1][1] / (3600 * hours)])
    since, growth = warm(counts, 60 * stage.minutes)
    stage.say(f"{growth}: of what was seen after {since:.0f} s; {FULL} builds fill what is remembered")
    for what in samples[0][1]:
        rows = [(at, sample[what]) for at, sample in samples]
        unit = "MB" if "memory" in what else "KB" if "bytes" in what else ""
        stage.add("soak", f"{what}, at the end", "ours", unit, "less", [rows[-1][1]])
        found = slope(rows, since)
        if found is not None:
            stage.add("soak", f"{what}, {growth}", "ours", f"{unit}/hour", "less", found)
    (peer.master.folder / "held").unlink()
    peer.have_workers(0)
    peer.have_workers(1)


def warm(counts: Sequence[tuple[float, int]], seconds: float) -> tuple[float, str]:
    """The second from which on growth is growth, and what to call what is seen from there on.

    `counts`: (seconds, builds until then); `seconds`: of the whole run.
    """
    third = WARM * seconds
    full = next((at for at, built in counts if built >= FULL), None)
    return (third, "growth while it fills") if full is None else (max(third, full), "growth")


def slope(rows: Sequence[tuple[float, float]], since: float) -> tuple[float, float, float] | None:
    """(lower bound, slope, upper bound) an hour of rows (seconds, value) from second `since` on. None: fewer than
    three means."""
    means: dict[int, list[tuple[float, float]]] = {}
    for at, value in rows:
        if at >= since:
            means.setdefault(int(at / MEAN), []).append((at / 3600, value))
    points = [tuple(map(statistics.fmean, zip(*some, strict=True))) for some in means.values()]
    if len(points) < 3:
        return None
    times, values = zip(*points, strict=True)
    fitted = statistics.linear_regression(times, values)
    rest = sum((y - fitted.intercept - fitted.slope * x) ** 2 for x, y in zip(times, values, strict=True))
    middle = statistics.fmean(times)
    spread = math.sqrt(rest / (len(points) - 2) / sum((x - middle) ** 2 for x in times))
    return fitted.slope - 2 * spread, fitted.slope, fitted.slope + 2 * spread


def _samples(
    stage: Stage, peer: Peer, seconds: float
) -> tuple[list[tuple[float, Mapping[str, float]]], list[tuple[float, int]]]:
    """Samples, and how many builds were made, by seconds since the begin."""
    began, built = time.monotonic(), 0
    found: list[tuple[float, Mapping[str, float]]] = []
    counts = [(0.0, 0)]
    requests = [peer.master.force(BUILDER) for _ in range(QUEUED)]
    while (now := time.monotonic() - began) < seconds:
        found.append((now, _sample(stage, peer)))
        time.sleep(max(0.0, EVERY - (time.monotonic() - began - now)))
        for request in [request for request in requests if _over(peer, request)]:
            requests.remove(request)
            requests.append(peer.master.force(BUILDER))
            built += 1
        counts.append((now, built))
    for request in requests:
        peer.finished(request, 300)
    return found, counts


def _over(peer: Peer, request: int) -> bool:
    if not peer.master.get(f"/buildrequests/{request}")["buildrequests"][0]["complete"]:
        return False
    build = peer.master.builds(request)[-1]
    if build.result != "SUCCESS":
        raise Wrong(f"a build ended as {build.result}")
    return True


def _sample(stage: Stage, peer: Peer) -> dict[str, float]:
    agent, master = peer.workers[0].pid, peer.master.pid
    sample: dict[str, float] = {
        "agent: resident memory": resident_memory([agent]),
        "agent: resident memory of all its processes": resident_memory(tree(agent)),
        "agent: descriptors": _entries(Path(f"/proc/{agent}/fd")),
        "agent: threads": _entries(Path(f"/proc/{agent}/task")),
        "agent: processes": len(tree(agent)),
        "agent: files in its folder": _files(peer.workers[0].folder),
        "master: resident memory": resident_memory([master]),
        "master: descriptors": _entries(Path(f"/proc/{master}/fd")),
        "master: threads": _entries(Path(f"/proc/{master}/task")),
        "broker: resident memory": resident_memory([stage.node.pid]),
    }
    for who, folder in zip(("agent", "master"), _holders(peer), strict=True):
        sample |= {f"{who}: {what}": number for what, number in _held(folder).items()}
    counted = stage.node.ctl("eval", _COUNT).strip().strip("[]").split(",")
    return sample | {f"broker: {what}": float(number) for what, number in zip(OBJECTS, counted, strict=True)}


def _holders(peer: Peer) -> tuple[Path, Path]:
    """Folders of an agent and of the master."""
    return peer.workers[0].folder, peer.master.folder


def _held(folder: Path) -> dict[str, float]:
    """What a process has written there last: see `counted_agent` and `configuration`."""
    found: dict[str, float] = json.loads((folder / "held").read_text()) if (folder / "held").exists() else {}
    return found


#: As `list_…` counts, in one call: each starts an Erlang machine of its own.
_COUNT = (
    "[length(rabbit_networking:connections()), length(rabbit_channel:list()), length(rabbit_amqqueue:list()), "
    'length(rabbit_amqqueue:consumers_all(<<"/">>)), length(rabbit_exchange:list(<<"/">>)), '
    'length(rabbit_binding:list(<<"/">>))].'
)


def _entries(folder: Path) -> int:
    with suppress(OSError):
        return len(os.listdir(folder))
    return 0


def _files(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))
