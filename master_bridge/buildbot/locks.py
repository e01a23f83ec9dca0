"""Buildbot's `WorkerLock`, which limits what runs on a machine: here an agent's machine, not a slot of a column.

A slot has one build, so Buildbot's own count for each worker limits nothing. What a lock limits is told with the offer;
an agent on which it has no room leaves the work to others, or to itself a little later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from buildbot.interfaces import IRenderable
from buildbot.locks import LockAccess, WorkerLock

from contracts.messages import AgentLock


def agent_locks(*owners: Any) -> tuple[AgentLock, ...]:
    """The worker locks in `locks` of a build, a worker or a step; those that are to be rendered are not known."""
    return tuple(_agent_lock(access) for owner in owners for access in _worker_locks(getattr(owner, "locks", None)))


def limits_nothing(whole: Any) -> Iterator[str]:
    """A sentence for each worker lock in a `MasterConfig` that is read which limits nothing on an agent's machine."""
    ours = {worker.workername for worker in whole.workers if getattr(worker, "amqp_worker", False)}
    for builder in whole.builders:
        if ours.isdisjoint(builder.workernames):
            continue
        if IRenderable.providedBy(builder.locks):
            yield (
                f"builder {builder.name!r}: its locks are rendered, so a WorkerLock among them limits nothing on an "
                "agent's machine: give a list"
            )
        for step in getattr(builder.factory, "steps", ()):
            yield from (f"builder {builder.name!r}, {text}" for text in _limits_nothing(step))


def _limits_nothing(step: Any) -> Iterator[str]:
    """Of a step's factory."""
    if getattr(step.step_class, "amqp_capability_step", False):
        return
    name = step.kwargs.get("name") or step.step_class.__name__
    for access in _worker_locks(step.kwargs.get("locks")):
        yield (
            f"step {name!r}: WorkerLock {access.lockid.name!r} limits nothing on an agent's machine, for the build is "
            "there already when the step begins: give the lock to the builder, use flock in the command, or make it a "
            "CapabilityCommand"
        )


def _worker_locks(locks: Any) -> Iterator[LockAccess]:
    if locks is None or IRenderable.providedBy(locks):
        return
    known: Iterable[Any] = locks if isinstance(locks, (list, tuple)) else [locks]
    for lock in known:
        access = lock if isinstance(lock, LockAccess) else getattr(lock, "defaultAccess", lambda: None)()
        if isinstance(access, LockAccess) and isinstance(access.lockid, WorkerLock):
            yield access


def _agent_lock(access: LockAccess) -> AgentLock:
    """An exclusive access takes all that there is."""
    lock = access.lockid
    most = max([lock.maxCount, *lock.maxCountForWorker.values()])
    return AgentLock(
        name=lock.name,
        capacity=lock.maxCount,
        takes=most if access.mode == "exclusive" else access.count,
        capacities=dict(lock.maxCountForWorker),
    )
