"""Who holds the locks that keep a builder's next build back.

Buildbot asks a builder's locks before it makes a build, and tells nobody when one is in the way. A lock knows the
identity of its owners only, which are builds and steps.

Source: locks.py (`BaseLock`), process/builder.py `Builder.canStartBuild`, process/botmaster.py `getLockByID`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from buildbot.interfaces import IRenderable
from buildbot.locks import MasterLock, RealMasterLock


@dataclass(frozen=True, kw_only=True)
class LockInTheWay:
    """A master lock that has no room for a builder's next build."""

    name: str
    #: builds that hold it, or a step of which does: builder and number
    holders: tuple[str, ...]
    #: how many of them have to end before there is room
    after: int


class MasterLocks:
    """As they are held now."""

    def __init__(self, botmaster: Any) -> None:
        self._botmaster = botmaster
        #: id of a build or of a step -> the build
        self._builds: dict[int, Any] = {}
        for builder in botmaster.builders.values():
            for build in builder.building:
                self._builds[id(build)] = build
                self._builds.update((id(step), build) for step in build.executedSteps)

    @staticmethod
    def rendered(config: Any) -> bool:
        """A builder's locks are made for each build anew: nobody knows those of the next one."""
        return bool(IRenderable.providedBy(config.locks))

    def in_the_way(self, config: Any) -> LockInTheWay | None:
        """The first lock of this builder's configuration that has no room; None: each has, or is not known."""
        for access in () if self.rendered(config) else config.locks or ():
            access = access if hasattr(access, "lockid") else access.defaultAccess()
            lock = self._real(access.lockid) if isinstance(access.lockid, MasterLock) else None
            if lock is not None and not lock.isAvailable(None, access):
                return LockInTheWay(name=lock.lockName, holders=tuple(self._holders(lock)), after=_after(lock, access))
        return None

    def held(self) -> Iterator[tuple[str, str]]:
        """(worker, name of a lock) for each lock that the worker's build holds."""
        for lock in self._botmaster.namedServices.values():
            if isinstance(lock, RealMasterLock):
                for owner, _access in lock.owners:
                    if (build := self._builds.get(owner)) is not None:
                        yield build.workerforbuilder.worker.workername, lock.lockName

    def _real(self, lockid: Any) -> Any:
        """None: nobody has wanted it since the master's start."""
        return self._botmaster.namedServices.get(RealMasterLock.getName(lockid.name))

    def _holders(self, lock: Any) -> Iterator[str]:
        for owner, _access in lock.owners:
            build = self._builds.get(owner)
            yield "a build" if build is None else f"{build.builder.name} #{build.number}"


def _after(lock: Any, access: Any) -> int:
    """Owners that have to end. Who waits for it in a build that runs already comes before."""
    before = len(lock.waiting)
    if access.mode == "exclusive" or any(theirs.mode == "exclusive" for _owner, theirs in lock.owners):
        return max(1, len(lock.owners) + before)
    taken = sum(theirs.count for _owner, theirs in lock.owners)
    return max(1, taken + access.count - lock.maxCount + before)
