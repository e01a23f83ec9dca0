"""What Buildbot's database says of an agent's builds, of how long builds take, of requests without a build.

Its data API finds no build by a property's value, so its tables are asked. A build's `agent` and `agent_account` are
properties (`buildbot/slot.py`).

Source: db/model.py (`builds`, `build_properties`, `builders`), db/pool.py `DBThreadPool.do`, data/buildrequests.py.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from buildbot.data.resultspec import Filter
from buildbot.process.results import FAILURE, SUCCESS, WARNINGS
from twisted.internet import defer

from contracts.readable import shown

#: Requests that are told.
REQUESTS_MAX = 500
#: Builds among which an agent's are looked for: the newest, so that a large database costs no more than a small one.
BUILDS_LOOKED_AT = 20_000
#: Spans of time that are told of one day.
SPANS_MAX = 2_000
#: Builds among which durations are looked for, those that are kept of one builder, and seconds for which they are good.
DURATIONS_LOOKED_AT, DURATIONS_KEPT, DURATIONS_FRESH = 2_000, 30, 10.0
#: Seconds for which what waits in the database is good enough after one of them has changed, and in any case: another
#: master of this database may have changed one.
PENDING_FRESH, PENDING_ANYWAY = 3.0, 60.0


@dataclass(frozen=True, kw_only=True)
class AgentBuilds:
    """`latest`: newest first, each as JSON; `busy`: [start, end or None] of those of the wanted time."""

    latest: list[dict[str, Any]]
    busy: list[list[float | None]]


def builds_of(master: Any, agent: str, account: str, since: float, limit: int) -> defer.Deferred[AgentBuilds]:
    """Builds that ran on this agent. `since`: seconds since the epoch, from when on its busy times are wanted."""

    def thd(conn: Any) -> AgentBuilds:
        newest = conn.execute(sa.select(sa.func.max(master.db.model.builds.c.id))).scalar() or 0
        rows = conn.execute(_query(master.db.model, agent, account, newest)).fetchall()
        busy = [[float(row[4]), row[5]] for row in rows if (row[5] or time.time()) >= since]
        return AgentBuilds(latest=[_as_json(row) for row in rows[:limit]], busy=busy)

    result: defer.Deferred[AgentBuilds] = master.db.pool.do(thd)
    return result


def _query(model: Any, agent: str, account: str, newest: int) -> Any:
    """Among the latest builds up to number `newest`."""
    builds, builders = model.builds, model.builders
    name, owner = model.build_properties.alias(), model.build_properties.alias()
    columns = (builds.c.id, builds.c.number, builds.c.builderid, builders.c.name)
    return (
        sa.select(*columns, builds.c.started_at, builds.c.complete_at, builds.c.results)
        .select_from(
            builds.join(builders, builders.c.id == builds.c.builderid)
            .join(name, name.c.buildid == builds.c.id)
            .join(owner, owner.c.buildid == builds.c.id)
        )
        .where(
            builds.c.id > newest - BUILDS_LOOKED_AT,
            name.c.name == "agent",
            name.c.value == json.dumps(agent),
            owner.c.name == "agent_account",
            owner.c.value == json.dumps(account),
        )
        .order_by(builds.c.id.desc())
        .limit(SPANS_MAX)
    )


def _as_json(row: Any) -> dict[str, Any]:
    build, number, builderid, builder, started, complete, results = row
    return {
        "build": build,
        "number": number,
        "builderid": builderid,
        "builder": shown(builder),
        "started": started,
        "complete": complete,
        "results": results,
    }


class Durations:
    """What builds took on their agents, without the wait for these; asked for every few seconds at most."""

    def __init__(self, master: Callable[[], Any]) -> None:
        self._master = master
        self._at = 0.0
        self._found: dict[str, list[float]] = {}

    @defer.inlineCallbacks
    def look(self) -> Any:
        """Builder -> seconds that its latest builds took, newest first."""
        now = time.monotonic()
        if now - self._at >= DURATIONS_FRESH or not self._at:
            self._at = now
            self._found = yield self._master().db.pool.do(self._thd)
        return self._found

    def _thd(self, conn: Any) -> dict[str, list[float]]:
        model = self._master().db.model
        builds, builders, steps = model.builds, model.builders, model.steps
        newest = conn.execute(sa.select(sa.func.max(builds.c.id))).scalar() or 0
        query = (
            sa.select(builders.c.name, builds.c.complete_at, steps.c.complete_at)
            .select_from(
                builds.join(builders, builders.c.id == builds.c.builderid).join(steps, steps.c.buildid == builds.c.id)
            )
            .where(
                builds.c.id > newest - DURATIONS_LOOKED_AT,
                builds.c.results.in_((SUCCESS, WARNINGS, FAILURE)),
                steps.c.number == 0,  # the preparation: an agent is found at its end
                steps.c.complete_at.isnot(None),
            )
            .order_by(builds.c.id.desc())
        )
        found: dict[str, list[float]] = {}
        for name, complete, prepared in conn.execute(query):
            times = found.setdefault(name, [])
            if len(times) < DURATIONS_KEPT:
                times.append(max(0.0, float(complete - prepared)))
        return found


@dataclass(frozen=True, kw_only=True)
class Pending:
    """`requests`: (request, builder, seconds since the epoch when it was made, priority); `builders`: name -> id."""

    requests: tuple[tuple[str, str, float, int], ...] = ()
    builders: Mapping[str, int] = field(default_factory=dict)


class PendingRequests:
    """Requests that Buildbot has given to no worker yet: looked up when one has changed, and now and then anyway."""

    def __init__(self, master: Callable[[], Any]) -> None:
        self._master = master
        self._changed = True
        self._at = 0.0
        self._found = Pending()
        self._names: dict[int, str] = {}
        self._consumer: Any = None

    @defer.inlineCallbacks
    def start(self) -> Any:
        """Hear of changes from now on."""
        self._consumer = yield self._master().mq.startConsuming(self._note, ("buildrequests", None, None))

    @defer.inlineCallbacks
    def stop(self) -> Any:
        """Hear of none any more."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            yield consumer.stopConsuming()

    def _note(self, _key: Any, _request: Any) -> None:
        self._changed = True

    @defer.inlineCallbacks
    def look(self) -> Any:
        """A `Pending`, as it was at most `PENDING_FRESH` seconds ago; of other masters' doing, `PENDING_ANYWAY`."""
        age = time.monotonic() - self._at
        if self._at and age < (PENDING_FRESH if self._changed else PENDING_ANYWAY):
            return self._found
        self._at, self._changed = time.monotonic(), False
        try:
            rows = yield self._read()
        except Exception:
            self._changed = True  # what has changed is not known yet
            raise
        self._found = Pending(
            requests=tuple(
                (
                    f"br-{row['buildrequestid']}",
                    self._names.get(row["builderid"], "?"),
                    row["submitted_at"].timestamp(),
                    row["priority"],
                )
                for row in rows
            ),
            builders={name: number for number, name in self._names.items()},
        )
        return self._found

    @defer.inlineCallbacks
    def _read(self) -> Any:
        """The requests' rows; `_names` has their builders then, and those that the configuration has now: builds of one
        that a reconfig added may begin before anybody sees their requests."""
        rows = yield self._master().data.get(
            ("buildrequests",),
            filters=[Filter("complete", "eq", [False]), Filter("claimed", "eq", [False])],
            limit=REQUESTS_MAX,
            order=["buildrequestid"],
        )
        names = set(self._names.values())
        of_config = self._master().botmaster.builders
        if any(row["builderid"] not in self._names for row in rows) or any(name not in names for name in of_config):
            builders = yield self._master().data.get(("builders",))
            self._names = {each["builderid"]: each["name"] for each in builders}
        return rows
