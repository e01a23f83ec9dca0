"""Requests that Buildbot itself holds back: why, and for which places they wait.

Buildbot makes a build of a request when a worker of its builder is free, no lock is in the way, and the functions of
the configuration agree (process/buildrequestdistributor.py). What it waits for it says to nobody: it is found out here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contracts.readable import shown

UNKNOWN = "its builder is another master's, or is configured no more"
KEPT = "a place of its builder is free, but a lock of the builder's, canStartBuild or nextWorker keeps it from it"
OUT = "no place of its builder takes work (paused, or shut down gracefully)"
TAKEN = "all places of its builder are taken"
OTHERS = "all places of its builder are taken, and its workers of other kinds are busy or away"


@dataclass(frozen=True, kw_only=True)
class HoldReason:
    """Of one builder. `places`: worker -> signature, of those one of which a request waits for; empty: for none, or it
    is not known what it waits for."""

    reason: str
    places: Mapping[str, str] = field(default_factory=dict)


class HoldingBack:
    """What holds requests back now, by the builder's name; looked at once for each."""

    def __init__(self, broker: Any) -> None:
        self._shortage = broker.room.shortage()
        self._workers = broker.master.workers.workers
        self._builders = {builder.name: builder.workernames for builder in broker.master.config.builders}
        self._found: dict[str, HoldReason] = {}

    def of(self, builder: str) -> HoldReason:
        """Why, and what frees it."""
        if builder not in self._found:
            self._found[builder] = self._look(builder)
        return self._found[builder]

    def _look(self, builder: str) -> HoldReason:
        if builder not in self._builders:
            return HoldReason(reason=UNKNOWN)
        workers = [self._workers[name] for name in self._builders[builder] if name in self._workers]
        ours = [worker for worker in workers if getattr(worker, "amqp_worker", False)]
        if ours and self._shortage is not None:
            return HoldReason(reason=f"the master has no room: {shown(self._shortage.text)}")
        if any(worker.canStartBuild() for worker in ours):
            return HoldReason(reason=KEPT)
        taken = {worker.name: worker.signature for worker in ours if worker.building}
        if len(ours) < len(workers):
            return HoldReason(reason=OTHERS)
        return HoldReason(reason=TAKEN, places=taken) if taken else HoldReason(reason=OUT)
