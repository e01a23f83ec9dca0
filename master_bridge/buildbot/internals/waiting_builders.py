"""Looks for builds only among the builders for which a request waits.

Whenever a worker is free, and whenever a lock is, Buildbot looks at each builder that may have a build for it: two
calls of the database to put them in order, and one for the requests themselves (process/buildrequestdistributor.py).
With 15 builders that is half of what a build of one step asks, and almost none of them has a request. Here one call
says which have. A request that comes later is looked for by itself, as a request that nobody holds any more is. Where
that call fails, all builders are looked at, and so they are where some were left over: a stop that was taken back
leaves builders to which Buildbot comes back at its next look, whichever that is for.

Where master.cfg has a function that puts the builders in order (`prioritizeBuilders`), it gets all of them, as ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import sqlalchemy
import structlog
from twisted.internet import defer

log = structlog.get_logger(__name__)


class WaitingBuilders:
    """Of one master: `keep`, and `release` before its database is closed."""

    def __init__(self) -> None:
        self._distributor: Any = None

    def keep(self, master: Any) -> None:
        """Until `release`; no more than once."""
        if self._distributor is None:
            self._distributor = distributor = master.botmaster.brd
            distributor._maybeStartBuildsOn = partial(_start, master, distributor._maybeStartBuildsOn)
            distributor._defaultSorter = partial(_sorted, distributor._defaultSorter)

    def release(self) -> None:
        """Buildbot's own way from now on."""
        distributor, self._distributor = self._distributor, None
        if distributor is not None:
            del distributor._maybeStartBuildsOn, distributor._defaultSorter


@defer.inlineCallbacks
def _start(master: Any, usual: Any, names: Sequence[str]) -> Any:
    """`names`: of builders, some of which a reconfig may have removed."""
    if len(names) > 1 and not master.config.prioritizeBuilders and not _left_over(master.botmaster.brd):
        try:
            waiting = yield master.db.pool.do(_waiting, master.db.model)
            names = yield _among(master.botmaster.builders, names, waiting)
        except Exception as error:
            log.warning("amqp.waiting_requests_not_read", reason=str(error), detail="all builders are looked at")
    if names:
        yield usual(names)


def _left_over(distributor: Any) -> bool:
    """There are builders that were to be looked at, and nobody does it."""
    return bool(distributor._pending_builders) and not distributor.active


@defer.inlineCallbacks
def _among(builders: Any, names: Sequence[str], waiting: frozenset[int]) -> Any:
    found = []
    for name in names:
        if name in builders and (yield builders[name].getBuilderId()) in waiting:
            found.append(name)
    return found


def _sorted(usual: Any, master: Any, builders: Sequence[Any]) -> Any:
    """One builder is in order, whatever its requests are."""
    return usual(master, builders) if len(builders) > 1 else defer.succeed(builders)


def _waiting(connection: Any, model: Any) -> frozenset[int]:
    """Ids of builders; in a thread of Buildbot's database. As `getBuildRequests(claimed=False)` means it
    (db/buildrequests.py)."""
    requests, claims = model.buildrequests, model.buildrequest_claims
    unclaimed = (
        sqlalchemy.select(requests.c.builderid)
        .distinct()
        .select_from(requests.outerjoin(claims, requests.c.id == claims.c.brid))
        .where(claims.c.claimed_at.is_(None) & (requests.c.complete == 0))
    )
    return frozenset(connection.execute(unclaimed).scalars())
