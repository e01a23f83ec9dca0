"""What the page shows: made every `FRESH` seconds at most, whoever looks, and told as what has changed.

Nothing is made while nobody looks. The cost of a viewer is that of the rows that have changed since its last question.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any
from uuid import uuid4

from contracts.machines.bounded import Bounded
from contracts.messages import Catalogue, ExpectedStart, FleetMessage, Status, Work
from contracts.readable import moment
from contracts.timing import CATALOGUE_INTERVAL
from master_bridge.buildbot.internals.running_builds import RunningBuilds
from master_bridge.core.forecast import ForecastStart, Held, Machine, Running, Waiting, forecast
from master_bridge.fleet.agents import Agents, BuildLink, Known, Row
from master_bridge.fleet.columns import (
    SEEKING,
    FleetColumn,
    Waiter,
    column_rows,
    read,
    summary,
    waiters_of,
    waiting_rows,
)
from master_bridge.www.held import HoldingBack
from master_bridge.www.orders import Orders

#: Seconds for which what was made is good enough for the next viewer.
FRESH = 1.0
#: Another master that said nothing for so many seconds is not shown; so many masters are.
FORGET_AFTER, MASTERS_MAX = 3 * CATALOGUE_INTERVAL, 100
#: Columns that are taken of another master.
SIGNATURES_MAX = 300

#: Answers that are kept for the next viewers: some three are asked for; one that tells all has 1.5 MB of 1,000 agents.
ANSWERS_KEPT = 8

#: Seconds by which what was told of a start may be wrong before it is told anew.
STANDS = 30.0

#: A build's title, or a step's of it, which follows a colon and may have such a number in its name, too.
_TITLE = re.compile(r"(?P<builder>.*?) #[0-9]+(?:: |\Z)", re.DOTALL)
#: What follows the builder's name there, where that is known.
_NUMBER = re.compile(r" #([0-9]{1,18})")


@dataclass
class OtherMaster:
    """What another master has announced; `heard` is when, in seconds since the epoch."""

    name: str
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
        #: what Buildbot has given no place, what of it waits for which places, and what keeps it
        self._pending: tuple[Waiter, ...] = ()
        self._held: list[Held] = []
        self._holding: HoldingBack | None = None
        self.running = RunningBuilds()
        #: ids of Buildbot's builders; told, as those above, by whoever serves the page
        self.builders: Mapping[str, int] = {}
        #: own request -> when it will start
        self.expected: dict[str, ExpectedStart] = {}
        self._others: Bounded[str, OtherMaster] = Bounded(MASTERS_MAX)
        #: what has no agent, when this was made, and what is held back
        self._seeking: list[Waiter] = []
        self._held_back: list[Waiter] = []
        self._random = Random()  # noqa: S311 - plays, not secrets
        self._made_at = 0.0
        self._rest: dict[str, Any] = {}
        #: row version -> what whoever has that is told, until all is made anew
        self._answers: dict[int, bytes] = {}
        self._columns_told: Mapping[str, Row] = {}

    def hear(self, message: FleetMessage) -> None:
        """What agents and masters tell everybody."""
        now = time.time()
        if isinstance(message, Status):
            self.agents.hear(message, now)
            self.orders.heard(message, now)
        elif self._broker.settings is None or message.master != self._broker.settings.master:
            other = self._others.get(message.master) or OtherMaster(message.master, now)
            other.heard = now
            self._others.put(other.name, other)
            if isinstance(message, Catalogue):
                other.signatures = message.signatures[:SIGNATURES_MAX]
            else:
                other.work = message

    def tick(self) -> None:
        """Called now and then: who is silent for long is forgotten."""
        now = time.time()
        self.agents.tick(now)
        for other in list(self._others.values()):
            if now - other.heard > FORGET_AFTER:
                self._others.discard(other.name)

    @property
    def waits(self) -> bool:
        """Whether a request of this master has no agent."""
        bridge = self._broker.bridge
        seeks = bridge is not None and any(view.state in SEEKING for view in bridge.machine.requests())
        return seeks or bool(self._pending)

    def hold_back(self, pending: tuple[Waiter, ...]) -> None:
        """Requests that Buildbot has given no place, as its database has them now."""
        self._pending = pending

    @property
    def held_back(self) -> list[Waiter]:
        """Those of them that no agent is sought for, with why and when.

        Asked for every few seconds, whoever looks: where nothing is pending, the fleet need not be looked at for it.
        """
        if not self._pending:
            return []
        self._make()
        return self._held_back

    def _places(self) -> dict[str, str]:
        """Request, and session, of this master -> the worker that it has."""
        bridge = self._broker.bridge
        found: dict[str, str] = {}
        for view in bridge.machine.requests() if bridge is not None else ():
            place = getattr(bridge.clients.get(view.request), "place", "")
            found[view.request] = place
            if view.session is not None:
                found[view.session] = place
        return found

    def expect(self, took: Mapping[str, Sequence[float]]) -> None:
        """Say when what waits will start. `took`: seconds that the latest builds of each builder took."""
        self._make()
        now = time.time()
        places = self._places()
        machines = [_machine(known, now, places) for known in self.agents if known.state not in ("silent", "leaving")]
        waiting = [
            Waiting(
                request=f"{waiter.master}\n{waiter.request}" if waiter.master else waiter.request,
                signature=waiter.signature,
                builder=waiter.builder,
                since=waiter.since,
                priority=waiter.priority,
                place="" if waiter.master else places.get(waiter.request, ""),
            )
            for waiter in self._seeking
        ]
        frees: Mapping[str, Sequence[str]] = {}
        if self._holding is not None:
            machines += self._holding.machines()
            frees = self._holding.frees()
        found = forecast(waiting, machines, took, self._random, self._held, frees)
        own = (waiter.request for waiter in (*self._seeking, *self._pending) if not waiter.master)
        self.expected = {
            request: _told_start(self.expected.get(request), found[request], now) for request in own if request in found
        }

    def columns(self) -> Mapping[str, Row]:
        """By signature: what each column needs and has (`columns.column_rows`)."""
        self._make()
        return self._columns_told

    def answer(self, incarnation: str, since: int) -> bytes:
        """What is `told`, as JSON in ASCII, which viewers that look at the same time share."""
        self._make()
        since = since if incarnation == self.incarnation else 0
        found = self._answers.get(since)
        if found is None:
            if len(self._answers) >= ANSWERS_KEPT:
                self._answers.clear()
            found = json.dumps(self.told(incarnation, since), separators=(",", ":")).encode()
            self._answers[since] = found
        return found

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
        self._answers.clear()
        self.tick()
        now = time.time()
        bridge = self._broker.bridge
        views = list(bridge.machine.requests()) if bridge is not None else []
        seeking = self._seeking = [*self._own_waiters(views), *self._waiters_of_others()]
        columns = self._columns({waiter.signature for waiter in seeking if waiter.signature})
        links = {view.session: self._link(view) for view in views if view.session is not None}
        self.agents.look({name: column.requirements for name, column in columns.items()}, links)
        rows = self._columns_told = column_rows(columns, seeking, self.agents, now)
        held = {view.request for view in views}
        pending = self._held_back = self._hold([waiter for waiter in self._pending if waiter.request not in held])
        down = self._broker.down_reason
        self._rest = {
            "now": round(now, 1),
            "down": down,
            "summary": summary(self.agents, len(seeking) + len(pending)),
            "columns": list(rows.values()),
            "waiting": waiting_rows([*seeking, *pending], rows, down=down),
        }

    def _hold(self, pending: list[Waiter]) -> list[Waiter]:
        """With why each is held back and when it will start."""
        self._held, found = [], []
        holding = self._holding = HoldingBack(self._broker, self.running) if pending else None
        for waiter in pending:
            assert holding is not None
            of = holding.of(waiter.title)
            expected = self.expected.get(waiter.request) if of.places else None
            found.append(replace(waiter, held_back=of.reason, expected=expected))
            if of.places:
                self._held.append(
                    Held(
                        request=waiter.request,
                        builder=waiter.title,
                        since=waiter.since,
                        priority=waiter.priority,
                        places=of.places,
                        after=of.after,
                    )
                )
        return found

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
                    builder=view.builder,
                    priority=view.priority,
                    expected=self.expected.get(view.request),
                )

    def _waiters_of_others(self) -> Iterator[Waiter]:
        for other in self._others.values():
            if other.work is not None:
                yield from waiters_of(other.work, other.name)

    def _columns(self, waiting: set[str]) -> dict[str, FleetColumn]:
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
        for other in self._others.values():
            for signature in other.signatures:
                masters.setdefault(signature, set()).add(other.name)
        return {
            signature: FleetColumn(
                signature=signature,
                requirements=requirements,
                builders=tuple(sorted(builders.get(signature, ()))),
                places=places.get(signature, 0),
                masters=tuple(sorted(masters.get(signature, ()))),
            )
            for signature in sorted({*places, *masters, *waiting})
            if (requirements := read(signature)) is not None
        }

    def _link(self, view: Any) -> BuildLink:
        known = view.builder and view.title.startswith(view.builder)
        found = _NUMBER.match(view.title, len(view.builder)) if known else None
        builder = self.builders.get(view.builder) if found else None
        return BuildLink(request=view.request, builder=builder, number=int(found[1]) if found else None)


def _machine(known: Known, now: float, places: Mapping[str, str]) -> Machine:
    """`places`: session of this master -> its worker. One that takes no work may still give places free."""
    busy = [slot for slot in known.status.slots if slot.state in ("claiming", "held")]
    return Machine(
        serves=frozenset(known.serves if known.takes_work else ()),
        free=known.free,
        running=tuple(
            Running(
                builder=found["builder"] if (found := _TITLE.match(slot.title)) is not None else "",
                elapsed=max(0.0, now - moment(slot.since)),
                place=places.get(slot.session or "", ""),
            )
            for slot in busy
        ),
    )


def _told_start(before: ExpectedStart | None, start: ForecastStart, now: float) -> ExpectedStart:
    """What was told stands until it is wrong by a fifth of the wait, or half a minute: a text that changes each time
    tells nobody more, and each change is written to the database."""
    likely = now + start.likely
    if before is not None and abs(before.likely - likely) <= max(STANDS, start.likely / 5) and before.late > now:
        return before
    return ExpectedStart(early=now + start.early, likely=likely, late=now + start.late)


def _builders_of(master: Any) -> dict[str, list[str]]:
    """Worker -> builders that name it."""
    found: dict[str, list[str]] = {}
    for builder in master.config.builders:
        for name in builder.workernames:
            found.setdefault(name, []).append(builder.name)
    return found
