"""Buildbot's database does not hear of the agent that a slot has for a build.

`AbstractWorker.attached` and `detached` write it into the worker's row, where the worker's page shows it until the next
agent comes: it would name a machine that the slot does not have. What that page says of a slot is `worker_rows`'; the
build names its agent itself. It saves each build some ten calls of the database, too.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import defer


class Seen:
    """`what`, seen with some attributes of its own."""

    def __init__(self, what: Any, **instead: Any) -> None:
        self._what = what
        self.__dict__.update(instead)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._what, name)


def without_connections(master: Any) -> Any:
    """Buildbot's master as a worker's own code sees it while it attaches or detaches."""
    updates = Seen(master.data.updates, workerConnected=_nothing, workerDisconnected=_nothing)
    return Seen(master, data=Seen(master.data, updates=updates))


def without_configuring(master: Any) -> Any:
    """Buildbot's master as a worker's own code sees it while both stop.

    Each worker writes then that it is configured for no builder, in a transaction of its own. The master has said so of
    all its workers already: before it stops them, and it is not reconfigured meanwhile.
    Source: master.py `stopService`; data/masters.py `masterStopped`; data/workers.py `_masterDeactivated`;
    worker/base.py `stopService`.
    """
    updates = Seen(master.data.updates, workerConfigured=_nothing)
    return Seen(master, data=Seen(master.data, updates=updates))


def _nothing(*_: Any, **__: Any) -> defer.Deferred[None]:
    return defer.succeed(None)
