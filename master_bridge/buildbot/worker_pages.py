"""What Buildbot's pages say of our workers: places of a column, not machines; is the column served, and where to look.

Buildbot shows a worker as a machine: connected or not, its host, its administrator. A place is connected here while its
column is served: the broker is in reach, and an agent that qualifies takes work, busy or not. So an idle column looks
well, and one that nobody can serve does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts.requirements.sets import Requirements
from contracts.timing import STATUS_INTERVAL
from master_bridge.buildbot.fleet.addresses import fleet_url
from master_bridge.buildbot.internals import worker_rows
from master_bridge.buildbot.internals.worker_rows import WorkerRow

#: Seconds between two looks, and those from the broker's coming (or going) to the first thing that is said of it:
#: every agent tells its status within the first of them, since the master calls the roll (rule 27).
LOOK_EVERY, SETTLES = 5.0, STATUS_INTERVAL + 2.0
#: What stands where a machine's name would stand.
NO_MACHINE = "not a machine: each build names its agent (first step, property `agent`)"
UNREACHABLE = "none: the broker is out of reach"
ASKING = "not known yet: the master has just started, or has just lost the broker"


def worker_row(requirements: Requirements, column: Mapping[str, Any] | None, *, url: str, up: bool | None) -> WorkerRow:
    """Of one place. `column`: its row on the fleet's page; `up`: is the broker in reach? None: not known yet."""
    connected, agents = _served(column, up)
    return WorkerRow(
        info={
            worker_rows.MARK: f"of the column {requirements.signature}, for one build at a time",
            "host": NO_MACHINE,
            "agents": agents,
            "access_uri": url,
        },
        connected=connected,
    )


def _served(column: Mapping[str, Any] | None, up: bool | None) -> tuple[bool | None, str]:
    if up is None or column is None:
        return None, ASKING
    if not up:
        return False, UNREACHABLE
    if column["qualified"]:
        return True, "some qualify and take work"
    if column["unfit"]:
        return False, "none: those that qualify take no work (paused, unwell, silent, leaving)"
    return False, f"none qualifies: {'; '.join(column['missing']) or 'no agent is alive'}"


class WorkerPages:
    """Of one `AMQPBroker`: says of all its master's places what is new, in one transaction."""

    def __init__(self, broker: Any) -> None:
        self._broker = broker
        self._told: dict[int, WorkerRow] = {}
        #: is the broker in reach, and since when (the reactor's seconds)
        self._up = False
        self._since: float | None = None

    def look(self) -> Any:
        """A Deferred, or None where there is nothing new."""
        master = self._broker.master
        up = self._settled(master.reactor.seconds())
        if up is None and self._told:
            return None  # what was said stands: most links are back soon
        columns = self._broker.page.feed.columns() if up else {}
        rows = {}
        for worker in master.workers.workers.values():
            if getattr(worker, "amqp_worker", False) and worker.workerid is not None:
                url = fleet_url(master.config.buildbotURL, worker.requirements)
                rows[worker.workerid] = worker_row(
                    worker.requirements, columns.get(worker.signature, None if up else {}), url=url, up=up
                )
        return self._write(rows) if rows != self._told else None

    def leave(self) -> Any:
        """The master stops: its places cannot be used. Only what was told is taken back."""
        return worker_rows.write(self._broker.master, {}) if self._told else None

    def _settled(self, now: float) -> bool | None:
        up = self._broker.down_reason is None
        if self._since is None or up != self._up:
            self._up, self._since = up, now
        return up if now - self._since >= SETTLES else None

    def _write(self, rows: dict[int, WorkerRow]) -> Any:
        self._told = rows
        written = worker_rows.write(self._broker.master, rows)
        written.addErrback(self._failed)
        return written

    def _failed(self, failure: Any) -> Any:
        """It is tried again at the next look."""
        self._told = {}
        return failure
