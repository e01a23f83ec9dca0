"""What Buildbot's pages say of workers that are places, not machines: their rows in its database.

Its data API writes one worker at a time, in two transactions and two questions; here are a thousand at once, and only
what is new is written. Viewers hear of it by the events that Buildbot's own updates produce.

Source: db/workers.py `workerConnected`, `workerDisconnected`; db/model.py `workers`, `connected_workers`;
data/workers.py `workerConnected` (its event); www's WorkersTable.tsx, WorkerBadge.tsx (they read `connected_to` and
`workerinfo`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from twisted.internet import defer

#: By this key of its `workerinfo` the row of a place is known, also that of a worker that is configured no more.
MARK = "place"
#: Parameters of one statement: SQLite's older limit is 999.
BATCH = 500


@dataclass(frozen=True, kw_only=True)
class WorkerRow:
    """What is to be said of one worker. `connected`: can it be used? None: that is not known, and stays as it is."""

    info: Mapping[str, str]
    connected: bool | None


@defer.inlineCallbacks
def write(master: Any, rows: Mapping[int, WorkerRow]) -> Any:
    """Bring the rows of these workers (by their ids) up to date; places that are not among them are not connected."""
    model, masterid = master.db.model, master.masterid
    workers, connections = model.workers, model.connected_workers

    def thd(conn: Any) -> list[int]:
        infos = {row.id: row.info for row in conn.execute(sa.select(workers.c.id, workers.c.info))}
        there = sa.select(connections.c.workerid).where(connections.c.masterid == masterid)
        connected = {number for (number,) in conn.execute(there)}
        new_infos = [number for number, row in rows.items() if number in infos and infos[number] != row.info]
        come = [number for number, row in rows.items() if row.connected and number not in connected]
        gone = [
            number
            for number in connected
            if (rows[number].connected is False if number in rows else MARK in (infos.get(number) or {}))
        ]
        for number in new_infos:
            conn.execute(workers.update().where(workers.c.id == number).values(info=dict(rows[number].info)))
        if come:
            conn.execute(connections.insert(), [{"workerid": number, "masterid": masterid} for number in come])
        for some in _batches(gone):
            conn.execute(
                connections.delete().where(connections.c.masterid == masterid, connections.c.workerid.in_(some))
            )
        return sorted({*new_infos, *come, *gone})

    changed = yield master.db.pool.do_with_transaction(thd)
    if changed:
        yield _tell_viewers(master, frozenset(changed))


@defer.inlineCallbacks
def _tell_viewers(master: Any, changed: frozenset[int]) -> Any:
    for worker in (yield master.data.get(("workers",))):
        number = worker["workerid"]
        if number in changed:
            event = "connected" if worker["connected_to"] else "disconnected"
            master.mq.produce(("workers", str(number), event), worker)


def _batches(numbers: list[int]) -> Iterable[list[int]]:
    return (numbers[index : index + BATCH] for index in range(0, len(numbers), BATCH))
