"""Writes what a build's properties are now in one transaction.

Buildbot (data/properties.py, `setBuildProperties`) makes one for each property that is new: sixteen for a build of one
step, in turn, and each of them waits for the disk. What is stored, and what is told of it, is the same. Where one of
them cannot be stored, Buildbot's own way is gone: it stores those before it, and fails with what its callers know.

Buildbot writes a build's properties at one place, one after the other. The bridge does so beside it when an agent has
come (search/naming.py); where the database has several threads (PostgreSQL) both might find a property missing and add
it, and no index of Buildbot's forbids that. So there is one at a time for each build.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import sqlalchemy
from twisted.internet import defer

#: Name to value (as JSON can have it) and source.
Properties = Mapping[str, tuple[Any, str]]


class BuildProperties:
    """Of one master: `keep`, and `release` before its database is closed."""

    def __init__(self) -> None:
        self._updates: Any = None
        self._usual: Any = None
        #: of builds whose properties are being written
        self._turns: dict[int, defer.DeferredLock] = {}

    def keep(self, master: Any) -> None:
        """Until `release`; no more than once."""
        if self._updates is None:
            self._updates = updates = master.data.updates
            self._usual = updates.setBuildProperties
            updates.setBuildProperties = partial(self._set, master, self._usual)

    def release(self) -> None:
        """Buildbot's own way from now on."""
        updates, self._updates = self._updates, None
        if updates is not None:
            updates.setBuildProperties = self._usual

    @defer.inlineCallbacks
    def _set(self, master: Any, usual: Any, buildid: int, properties: Any) -> Any:
        """`properties`: what has Buildbot's properties. Rendered before it is its turn: whatever a renderer waits for,
        no other waits for that."""
        real = properties.getProperties()
        now = yield real.render(real.asDict())
        turn = self._turns.setdefault(buildid, defer.DeferredLock())
        try:
            new = yield turn.run(_write_new, master, buildid, now)
        except Exception:  # which Buildbot's thread pool has logged
            yield usual(buildid, properties)
            return
        finally:
            if not turn.locked:  # nobody waits for it either
                self._turns.pop(buildid, None)
        if new:
            yield master.data.rtypes.property.generateUpdateEvent(buildid, new)


@defer.inlineCallbacks
def _write_new(master: Any, buildid: int, now: Properties) -> Any:
    """Those that are new, which are written then."""
    before = yield master.data.get(("builds", str(buildid), "properties"))
    new = {name: each for name, each in now.items() if name not in before or before[name] != each}
    if new:
        yield master.db.pool.do_with_transaction(_write, master.db.builds, buildid, new)
    return new


def _write(connection: Any, builds: Any, buildid: int, new: Properties) -> None:
    """In a thread of Buildbot's database. A property is added, or changed where it is another one."""
    table = builds.db.model.build_properties
    rows = connection.execute(
        sqlalchemy.select(table.c.name, table.c.value, table.c.source).where(table.c.buildid == buildid)
    )
    stored = {name: (value, source) for name, value, source in rows}
    added = []
    for name, (value, source) in new.items():
        builds.checkLength(table.c.name, name)
        builds.checkLength(table.c.source, source)
        text = json.dumps(value)
        if name not in stored:
            added.append({"buildid": buildid, "name": name, "value": text, "source": source})
        elif stored[name] != (text, source):
            of_it = (table.c.buildid == buildid) & (table.c.name == name)
            connection.execute(table.update().where(of_it), {"value": text, "source": source})
    if added:
        connection.execute(table.insert(), added)
