"""Requests that Buildbot itself holds back: why, and what has to come free for them.

Buildbot makes a build of a request when a worker of its builder is free, no lock is in the way, and the functions of
the configuration agree (process/buildrequestdistributor.py). What it waits for it says to nobody: it is found out here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from contracts.readable import shown
from master_bridge.buildbot.internals.master_locks import LockInTheWay, MasterLocks
from master_bridge.buildbot.internals.running_builds import RunningBuilds
from master_bridge.core.forecast import Machine, Running

UNTOLD = "when it starts cannot be told"
UNKNOWN = f"its builder is another master's, or is configured no more: {UNTOLD} here"
OUT = f"no place of its builder takes work (paused, or shut down gracefully): {UNTOLD} before one does"
TAKEN = "all places of its builder are taken"
OTHERS = "all places of its builder are taken, and its workers of other kinds are busy or away"
READY = "a place of its builder is free: it is about to have it"
RENDERED = f"a place of its builder is free; its locks are rendered for each build, and one may be in the way: {UNTOLD}"
#: Functions of a builder's configuration that may say no.
FUNCTIONS = ("canStartBuild", "nextWorker", "nextBuild")
#: Holders of a lock that are named.
HOLDERS_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class HoldReason:
    """Of one builder. `places`, `after`: what has to come free, as in `forecast.Held`; no places: nobody knows."""

    reason: str
    places: Mapping[str, str] = field(default_factory=dict)
    after: int = 1


class HoldingBack:
    """What holds requests back now, by the builder's name; looked at once for each."""

    def __init__(self, broker: Any, running: RunningBuilds) -> None:
        self._shortage = broker.room.shortage()
        self._workers = broker.master.workers.workers
        self._builders = {builder.name: builder for builder in broker.master.config.builders}
        self._locks = MasterLocks(broker.master.botmaster)
        others = [name for name, worker in self._workers.items() if not _is_ours(worker)]
        self._elsewhere = running.on(others, broker.master.botmaster)
        self._found: dict[str, HoldReason] = {}

    def of(self, builder: str) -> HoldReason:
        """Why, and what frees it."""
        if builder not in self._found:
            self._found[builder] = self._look(builder)
        return self._found[builder]

    def machines(self) -> Iterator[Machine]:
        """Workers of other kinds: each serves what has its place."""
        for name, builds in self._elsewhere.items():
            yield Machine(
                serves=frozenset({_itself(name)}),
                free=int(not builds and _attached(self._workers[name])),
                running=tuple(Running(builder=builder, elapsed=elapsed, place=name) for builder, elapsed in builds),
            )

    def frees(self) -> dict[str, list[str]]:
        """Worker -> locks that come free when its build ends."""
        found: dict[str, list[str]] = {}
        for worker, lock in self._locks.held():
            found.setdefault(worker, []).append(_lock_place(lock))
        return found

    def _look(self, builder: str) -> HoldReason:
        config = self._builders.get(builder)
        if config is None:
            return HoldReason(reason=UNKNOWN)
        workers = [self._workers[name] for name in config.workernames if name in self._workers]
        ours = [worker for worker in workers if _is_ours(worker)]
        if ours and self._shortage is not None:
            return HoldReason(reason=f"the master has no room: {shown(self._shortage.text)}: {UNTOLD} before it has")
        free = next((worker for worker in workers if self._is_free(worker, builder)), None)
        if free is not None:
            return self._kept(config, _signature(free))
        taken = {worker.name: _signature(worker) for worker in workers if self._builds(worker)}
        if not taken:
            return HoldReason(reason=OUT if ours or not workers else f"no worker of its builder is there: {UNTOLD}")
        return HoldReason(reason=TAKEN if len(ours) == len(workers) else OTHERS, places=taken)

    def _kept(self, config: Any, signature: str) -> HoldReason:
        """A place is free; `signature`: with which it is waited for an agent then."""
        lock = self._locks.in_the_way(config)
        if lock is not None:
            return HoldReason(reason=_of_lock(lock), places={_lock_place(lock.name): signature}, after=lock.after)
        if self._locks.rendered(config):
            return HoldReason(reason=RENDERED)
        functions = [name for name in FUNCTIONS if callable(getattr(config, name, None))]
        if functions:
            names = " or ".join(functions)
            return HoldReason(
                reason=f"a place of its builder is free, and {names} of master.cfg keeps it from it: {UNTOLD}"
            )
        return HoldReason(reason=READY, places={"": signature}, after=0)

    def _is_free(self, worker: Any, builder: str) -> bool:
        if not worker.canStartBuild():
            return False
        if _is_ours(worker):
            return True
        return _attached(worker) and all(runs != builder for runs, _ in self._elsewhere[worker.name])

    def _builds(self, worker: Any) -> bool:
        return bool(worker.building if _is_ours(worker) else self._elsewhere[worker.name])


def _of_lock(lock: LockInTheWay) -> str:
    holders = ", ".join(shown(holder) for holder in lock.holders[:HOLDERS_SHOWN])
    more = f" and {len(lock.holders) - HOLDERS_SHOWN} more" if len(lock.holders) > HOLDERS_SHOWN else ""
    held = f"is held by {holders}{more}" if holders else "has others before it"
    return f"lock {shown(lock.name)!r} of its builder {held}"


def _is_ours(worker: Any) -> bool:
    return bool(getattr(worker, "amqp_worker", False))


def _attached(worker: Any) -> bool:
    return getattr(worker, "conn", None) is not None


def _signature(worker: Any) -> str:
    return str(worker.signature) if _is_ours(worker) else _itself(worker.name)


def _itself(worker: str) -> str:
    """What a worker of another kind serves; no requirement is spelled so."""
    return f"worker {worker}"


def _lock_place(lock: str) -> str:
    """No worker is named so."""
    return f"lock {lock}"
