"""What the page shows: made every `FRESH` seconds at most, whoever looks, and told as what has changed.

Nothing is made while nobody looks. The cost of a viewer is that of the rows that have changed since its last question.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from contracts.messages import Catalogue, FleetMessage, Status, Work
from contracts.readable import moment
from contracts.requirements.sets import Requirements
from contracts.timing import STATUS_INTERVAL
from master_bridge.www.agents import Agents, Link
from master_bridge.www.columns import Column, Waiter, column_rows, waiting_rows
from master_bridge.www.orders import Orders

#: Seconds for which what was made is good enough for the next viewer.
FRESH = 1.25
#: Requests with one of these states have no agent yet.
SEEKING = ("window", "waiting", "granted")
#: Another master that said nothing for so many seconds is not shown; so many masters are.
FORGET_AFTER, MASTERS_MAX = 3 * STATUS_INTERVAL, 100

_TITLE = re.compile(r"(?P<builder>.*) #(?P<number>[0-9]+)", re.DOTALL)


@dataclass
class OtherMaster:
    heard: float
    signatures: tuple[str, ...] = ()
    work: Work | None = None


class Feed:
    """`broker` is the master's `AMQPBroker`. Its fleet is heard from the master's start on."""

    def __init__(self, broker: Any) -> None:
        self._broker = broker
        self.agents = Agents()
        self.orders = Orders()
        #: row versions count within one of these
        self.incarnation = uuid4().hex
        #: what Buildbot has given no place, and its builders' ids; asked for by whoever serves the page
        self.pending: tuple[Waiter, ...] = ()
        self.builders: Mapping[str, int] = {}
        self._others: dict[str, OtherMaster] = {}
        self._made_at = 0.0
        self._rest: dict[str, Any] = {}

    def hear(self, message: FleetMessage) -> None:
        now = time.time()
        if isinstance(message, Status):
            self.agents.hear(message, now)
            self.orders.heard(message, now)
        elif self._broker.settings is None or message.master != self._broker.settings.master:
            other = self._others.setdefault(message.master, OtherMaster(now))
            other.heard = now
            if isinstance(message, Catalogue):
                other.signatures = message.signatures
            else:
                other.work = message

    def tick(self) -> None:
        now = time.time()
        self.agents.tick(now)
        recent = sorted(self._others.items(), key=lambda item: item[1].heard)[-MASTERS_MAX:]
        self._others = {name: other for name, other in recent if now - other.heard <= FORGET_AFTER}

    def told(self, incarnation: str, since: int) -> dict[str, Any]:
        """Everything, or what is new since row version `since` of this incarnation."""
        self._make()
        gone = self.agents.gone(since) if incarnation == self.incarnation and since else None
        return {
            "incarnation": self.incarnation,
            "at": self.agents.at,
            "whole": gone is None,
            "agents": self.agents.rows(since if gone is not None else 0),
            "gone": gone or [],
            **self._rest,
        }

    def _make(self) -> None:
        if self._rest and time.monotonic() - self._made_at < FRESH:
            return
        self._made_at = time.monotonic()
        self.tick()
        now = time.time()
        bridge = self._broker.bridge
        views = list(bridge.machine.requests()) if bridge is not None else []
        seeking = [*self._own_waiters(views), *self._waiters_of_others()]
        columns = self._columns({waiter.signature for waiter in seeking if waiter.signature})
        links = {view.session: self._link(view) for view in views if view.session is not None}
        self.agents.look({name: column.requirements for name, column in columns.items()}, links)
        rows = column_rows(columns, seeking, self.agents, now)
        held = {view.request for view in views}
        pending = [waiter for waiter in self.pending if waiter.request not in held]
        down = self._broker.down_reason
        self._rest = {
            "now": round(now, 1),
            "down": down,
            "summary": self._summary(len(seeking) + len(pending)),
            "columns": list(rows.values()),
            "waiting": waiting_rows([*seeking, *pending], rows, down=down),
        }

    def _own_waiters(self, views: list[Any]) -> Iterator[Waiter]:
        for view in views:
            if view.state in SEEKING:
                yield Waiter(
                    request=view.request,
                    title=view.title,
                    since=self._broker.bridge.wall(view.since),
                    signature=view.signature,
                    state=view.state,
                    lives=view.lives,
                )

    def _waiters_of_others(self) -> Iterator[Waiter]:
        for name, other in self._others.items():
            for view in other.work.requests if other.work is not None else ():
                if view.state in SEEKING:
                    yield Waiter(
                        request=view.request,
                        title=view.title,
                        since=moment(view.since),
                        signature=view.signature,
                        state=view.state,  # type: ignore[arg-type]  # looked at just above
                        lives=view.lives,
                        master=name,
                    )

    def _columns(self, waiting: set[str]) -> dict[str, Column]:
        """By signature: of all workers that are ours, of other masters, of what waits."""
        master = self._broker.master
        builders: dict[str, set[str]] = {}
        places: dict[str, int] = {}
        masters: dict[str, set[str]] = {}
        of_worker = _builders_of(master)
        for worker in master.workers.workers.values():
            if getattr(worker, "amqp_worker", False):
                places[worker.signature] = places.get(worker.signature, 0) + 1
                builders.setdefault(worker.signature, set()).update(of_worker.get(worker.workername, ()))
        for name, other in self._others.items():
            for signature in other.signatures:
                masters.setdefault(signature, set()).add(name)
        return {
            signature: Column(
                signature=signature,
                requirements=Requirements.from_signature(signature),
                builders=tuple(sorted(builders.get(signature, ()))),
                places=places.get(signature, 0),
                masters=tuple(sorted(masters.get(signature, ()))),
            )
            for signature in sorted({*places, *masters, *waiting})
        }

    def _link(self, view: Any) -> Link:
        found = _TITLE.match(view.title)
        builder = self.builders.get(found["builder"]) if found else None
        return Link(request=view.request, builder=builder, number=int(found["number"]) if found else None)

    def _summary(self, waiting: int) -> dict[str, Any]:
        states: dict[str, int] = {}
        for known in self.agents:
            states[known.state] = states.get(known.state, 0) + 1
        return {
            "agents": len(self.agents),
            "states": states,
            "busy": sum(known.busy for known in self.agents if known.takes_work),
            "free": sum(known.free for known in self.agents),
            "waiting": waiting,
        }


def _builders_of(master: Any) -> dict[str, list[str]]:
    """Worker -> builders that name it."""
    found: dict[str, list[str]] = {}
    for builder in master.config.builders:
        for name in builder.workernames:
            found.setdefault(name, []).append(builder.name)
    return found
