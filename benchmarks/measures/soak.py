"""Builds without a pause: does anything grow? Memory, objects, tasks, descriptors, files, what the broker has.

First a warm-up: builds as fast as they go, until all is full that fills once (`FULL`). Then `--minutes` are measured.
Where the warm-up would take longer than that, as on a machine that does other things, it ends there, and what is
measured is called "growth while it fills": the two cannot be told apart.

Each quantity has its slope an hour: the median is the slope, its spread the 95 % confidence interval (`slope`). Nothing
grows where the interval has zero in it; its upper end says how much growth could hide there.

Resident memory is as the kernel tells it: it has what is in use, what is garbage, and what an allocator keeps for
later. What would be a leak is what is in use, so that is told beside it: each 30 s an agent's main process, the master
and the broker collect their garbage and say what is left (`stand/held.py`, `_COUNT`). Nobody is made to give memory
back to the kernel. With builds under way these move up and down by some hundred objects a build, and how many
descriptors, processes and files there are follows how much of the time builds take. So all is counted when all builds
have ended as well, before and after what is measured: "a build, at rest" is the difference by builds.

What fills, with its bound, and what it costs when it is full:

- an agent: the last 1,024 sessions (`worker_agent.core.ended.REMEMBERED`), up to 2 KB each. The agents that are
  measured fill them when the warm-up begins, with sessions that never were (`stand/counted_agent.py`).
- each of our processes: Python's table of the texts that it has once only (interned). It has room for some that come
  and go, names in paths above all; then it is made anew, larger, once. A keeper takes 0.5 MB more so, at about its
  1,000th session (10 such texts each; with shorter paths its 2,000th). An agent's main process took 0.8 MB at its
  2,900th: it and the master are told to fill theirs when the warm-up begins and when it ends.
- the master: the threads of Twisted's and Buildbot's pools, one more whenever all that there are have something to do.
  Twisted's own has up to ten, of 0.3 MB each, which encode the answers of the REST API. All are started when the
  warm-up begins.
- the bridge: what became of the last 20,000 sessions and requests (`master_bridge.core.memory.REMEMBERED`), 250 bytes a
  build. That many builds take an hour or more, so the master's configuration fills it before (`stand/configuration`),
  twice over: a dictionary is made anew once, 0.55 MB larger, when as many more have come and gone.
- SQLite: each connection that the bridge keeps open (`master_bridge/buildbot/internals/database.py`) has a cache of
  pages of 2 MB; Buildbot asks SQLite in one thread. How much SQLite has is told beside the master's memory.

With `--peers PB` the same is measured of a master with two of Buildbot's own workers: what grows there is Buildbot's.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import psutil

from benchmarks.report.figures import Wrong
from benchmarks.report.goals import GROWTH
from benchmarks.stand.held import LOOK as LOOKS_FOR_FILES
from benchmarks.stand.peers import Peer
from benchmarks.stand.processes import proportional_memory, resident_memory, tree
from benchmarks.stand.stage import Stage
from tests.harness.waiting import wait_for
from worker_agent.core.ended import REMEMBERED

WORKERS = 2
#: Builds that are queued or run at any time: more than end between two looks.
QUEUED = 24
BUILDER = "fanout"
#: Seconds between two looks at which builds have ended; between two samples; between two counts of the broker's
#: objects, for which it collects garbage; and of one mean.
LOOK, EVERY, COUNT_EVERY, MEAN = 1.0, 5.0, 30.0, 60.0
#: Sessions after which a keeper's table of texts was made anew.
TABLES = 2000
#: Builds after which each agent has had as many sessions, with a tenth more, since none has exactly its share.
FULL = int(1.1 * WORKERS * max(REMEMBERED, TABLES))
FILLING = f"{GROWTH} while it fills"
#: What the broker tells of itself: its objects by their names in `rabbitmqctl list_…`, and what its Erlang has in use.
OBJECTS = ("connections", "channels", "queues", "consumers", "exchanges", "bindings")
PROCESSES = "processes of Erlang"
#: By their names in `erlang:memory/0`. Atoms are not among them: each question leaves one, the name of who asks.
USED = ("total", "processes", "binary", "ets")
#: 97.5 % quantiles of Student's t distribution by degrees of freedom, from 1 on, and of more.
_STUDENT = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
_STUDENT_MORE = 2.12
#: One mean that depends on the one before by more than this tells nothing of its own.
_ALIKE_MAX = 0.9

Samples = list[tuple[float, Mapping[str, float]]]


def run(stage: Stage) -> None:
    peer = next((peer for peer in stage.peers if peer.name == "ours"), stage.peers[0])
    peer.have_workers(0)
    peer.have_workers(WORKERS, "benchmarks.stand.counted_agent")
    _ask_anew(peer)
    if peer.ours:
        _counted(stage)  # the first time it loads code for that
    builds, seconds = _Builds(peer), 60 * stage.minutes
    began = time.monotonic()
    builds.begin()
    _fill(peer, builds)
    while builds.made < FULL and time.monotonic() - began < seconds:
        time.sleep(LOOK)
        builds.look()
    _fill(peer, builds)
    builds.end()
    growth = GROWTH if builds.made >= FULL else FILLING
    stage.say(
        f"warm-up: {builds.made} builds in {time.monotonic() - began:.0f} s; {FULL} fill what is remembered. "
        f"{stage.minutes:g} minutes are measured: {growth}"
    )
    warm, before = builds.made, _at_rest(stage, peer)
    builds.begin()
    samples = _samples(stage, peer, builds, seconds)
    stage.add("soak", "builds", peer.name, "builds/s", "more", [(builds.made - warm) / samples[-1][0]])
    builds.end()
    for what, number in _at_rest(stage, peer).items():
        unit, many = ("bytes", 1e6) if "memory" in what else ("", 1.0)
        more = many * (number - before[what]) / (builds.made - warm)
        stage.add("soak", f"{what}, more a build, at rest", peer.name, unit, "less", [more])
    grow, known = [], 0
    for what in dict.fromkeys(what for _, sample in samples for what in sample):
        rows = [(at, sample[what]) for at, sample in samples if what in sample]
        unit = "MB" if "memory" in what else ""
        stage.add("soak", f"{what}, at the end", peer.name, unit, "less", [rows[-1][1]])
        found = slope(rows)
        if found is not None:
            stage.add("soak", f"{what}, {growth}", peer.name, f"{unit}/hour", "less", found)
            known += 1
            grow += [what] if found[0] > 0 else []
    told = ", ".join(grow) or "none"
    stage.say(f"{growth} is shown for {len(grow)} of {known} quantities: {told}")
    for folder in _holders(peer).values():
        (folder / "held").unlink()
    peer.have_workers(0)
    peer.have_workers(1)


def slope(rows: Sequence[tuple[float, float]]) -> tuple[float, float, float] | None:
    """(lower bound, slope, upper bound) an hour of rows (seconds, value): a line through the means of each minute, and
    its 95 % confidence interval. None: fewer than three means.

    The interval is as much wider as fewer means there would be if none depended on the one before, as those of memory
    do (autocorrelation of the first order, never below 0).
    """
    means: dict[int, list[tuple[float, float]]] = {}
    for at, value in rows:
        means.setdefault(int(at / MEAN), []).append((at / 3600, value))
    points = [tuple(map(statistics.fmean, zip(*some, strict=True))) for some in means.values()]
    if len(points) < 3:
        return None
    times, values = zip(*points, strict=True)
    fitted = statistics.linear_regression(times, values)
    rests = [y - fitted.intercept - fitted.slope * x for x, y in zip(times, values, strict=True)]
    middle, freedom = statistics.fmean(times), len(points) - 2
    squares = sum(rest * rest for rest in rests)
    alike = sum(one * next_one for one, next_one in pairwise(rests)) / squares if squares else 0.0
    alike = min(max(alike, 0.0), _ALIKE_MAX)
    spread = math.sqrt(squares / freedom / sum((x - middle) ** 2 for x in times) * (1 + alike) / (1 - alike))
    spread *= _STUDENT[freedom - 1] if freedom <= len(_STUDENT) else _STUDENT_MORE
    return fitted.slope - spread, fitted.slope, fitted.slope + spread


class _Builds:
    """`QUEUED` builds at any time, as far as somebody looks."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._requests: list[int] = []
        self._path = "/buildrequests?complete=0"
        self.made = 0

    def begin(self) -> None:
        self._requests = [self._peer.master.force(BUILDER) for _ in range(QUEUED)]

    def look(self) -> None:
        """One more for each that has ended. Raises `Wrong`: one has failed."""
        left = {row["buildrequestid"] for row in self._peer.master.get(self._path)["buildrequests"]}
        for request in [request for request in self._requests if request not in left]:
            (row,) = self._peer.master.get(f"/buildrequests/{request}")["buildrequests"]
            if row["results"] != 0:
                raise Wrong(f"a build ended with the result {row['results']}")
            self._requests.remove(request)
            self._requests.append(self._peer.master.force(BUILDER))
            self.made += 1

    def end(self) -> None:
        """Wait for those that there are."""
        for request in self._requests:
            self._peer.finished(request, 300)
        self.made += len(self._requests)
        self._requests = []


def _fill(peer: Peer, builds: _Builds) -> None:
    """What fills once in an agent's main process and in the master, while builds are made."""
    asked = [folder / "fill" for folder in (peer.master.folder, *_agents(peer))]
    for file in asked:
        file.touch()

    def filled() -> bool:
        builds.look()
        return not any(file.exists() for file in asked)

    wait_for(filled, 60 + LOOKS_FOR_FILES, "all have filled what fills once", every=LOOK)


def _at_rest(stage: Stage, peer: Peer) -> dict[str, float]:
    """What there is, and is held, while nothing runs."""
    peer.settle()
    _ask_anew(peer)
    return _sample(peer) | (_counted(stage) if peer.ours else {})


def _ask_anew(peer: Peer) -> None:
    """Who has an empty file counts at its next look, not at the time of its next count."""
    holders = _holders(peer)
    for folder in holders.values():
        (folder / "held").write_text("{}")
    wait_for(lambda: all(map(_held, holders.values())), 60 + LOOKS_FOR_FILES, "all tell what they hold")


def _samples(stage: Stage, peer: Peer, builds: _Builds, seconds: float) -> Samples:
    """(seconds since the begin, sample), while builds are made."""
    began, counted = time.monotonic(), -math.inf
    found: Samples = []
    while (now := time.monotonic() - began) < seconds:
        sample = _sample(peer)
        if peer.ours:
            sample["broker: resident memory"] = resident_memory([stage.node.pid])
            if now - counted >= COUNT_EVERY:
                sample |= _counted(stage)
                counted = now
        found.append((now, sample))
        while time.monotonic() - began - now < EVERY:
            builds.look()
            time.sleep(LOOK)
    return found


def _sample(peer: Peer) -> dict[str, float]:
    worker, master, who = peer.workers[0], peer.master.pid, _name(peer)
    sample: dict[str, float] = {
        f"{who}: resident memory": resident_memory([worker.pid]),
        f"{who}: proportional memory of all its processes": proportional_memory(tree(worker.pid)),
        f"{who}: descriptors": _entries(Path(f"/proc/{worker.pid}/fd")),
        f"{who}: threads": _entries(Path(f"/proc/{worker.pid}/task")),
        f"{who}: processes": len(tree(worker.pid)),
        f"{who}: files in its folder": _files(worker.folder),
        "master: resident memory": resident_memory([master]),
        "master: descriptors": _entries(Path(f"/proc/{master}/fd")),
        "master: threads": _entries(Path(f"/proc/{master}/task")),
    }
    if peer.ours:
        sample[f"{who}: resident memory of its keeper"] = resident_memory(_keepers(worker.pid))
    for which, folder in _holders(peer).items():
        sample |= {f"{which}: {what}": number for what, number in _held(folder).items()}
    return sample


def _counted(stage: Stage) -> dict[str, float]:
    """What the broker has, and what its Erlang has in use without garbage."""
    objects, used = json.loads(stage.node.evaluate(_COUNT))
    found = dict(zip((*OBJECTS, PROCESSES), objects, strict=True))
    found |= {f"memory in use by Erlang: {what}": size / 1e6 for what, size in zip(USED, used, strict=True)}
    return {f"broker: {what}": float(number) for what, number in found.items()}


def _keepers(agent: int) -> list[int]:
    """Those of an agent: one that has a session, or waits for the next one."""
    with suppress(psutil.NoSuchProcess):
        return [child.pid for child in psutil.Process(agent).children() if child.name() == "keeper"]
    return []


def _name(peer: Peer) -> str:
    return "agent" if peer.ours else "worker"


def _agents(peer: Peer) -> list[Path]:
    """Folders of those that tell what they hold: Buildbot's own workers do not."""
    return [worker.folder for worker in peer.workers] if peer.ours else []


def _holders(peer: Peer) -> dict[str, Path]:
    """Folders of an agent and of the master, by what they are called."""
    return {**{_name(peer): folder for folder in _agents(peer)[:1]}, "master": peer.master.folder}


def _held(folder: Path) -> dict[str, float]:
    """What a process has written there last: see `counted_agent` and `configuration`."""
    found: dict[str, float] = json.loads((folder / "held").read_text()) if (folder / "held").exists() else {}
    return found


#: As `list_…` counts, in one call of some milliseconds; `rabbitmqctl` would start an Erlang machine of its own, and
#: leave an atom for its name. Garbage is collected before, for a process keeps it until it has something to do again.
_COUNT = (
    "begin [garbage_collect(P) || P <- processes()], "
    "[[length(rabbit_networking:connections()), length(rabbit_channel:list()), length(rabbit_amqqueue:list()), "
    'length(rabbit_amqqueue:consumers_all(<<"/">>)), length(rabbit_exchange:list(<<"/">>)), '
    'length(rabbit_binding:list(<<"/">>)), erlang:system_info(process_count)], '
    f"[S || K <- [{', '.join(USED)}], S <- [erlang:memory(K)]]] end"
)


def _entries(folder: Path) -> int:
    with suppress(OSError):
        return len(os.listdir(folder))
    return 0


def _files(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))
