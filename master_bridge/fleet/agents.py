"""All agents that were heard, the silent and the leaving among them, with what became of each. Pure.

`FleetView` answers what work may hope for, so it forgets at once who is silent. People look for exactly those: this
keeps them for a day, and what each was in before. All text is `shown`, all numbers are `finite`: agents are foreign.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from contracts.messages import Status
from contracts.readable import moment, shown
from contracts.requirements.nearest_misses import nearest_misses
from contracts.requirements.sets import Requirements
from contracts.topology import address_user
from master_bridge.fleet.abilities import Abilities
from master_bridge.fleet.due import Due
from master_bridge.fleet.last_heard import Key, LastHeard
from master_bridge.fleet.tally import AgentCount, Tally

#: Seconds for which one is shown that said that it leaves, and one that is silent.
LEAVING_SHOWN, SILENT_SHOWN = 30.0, 86_400.0
#: Agents that are kept (who gives way to a new one: `_dispensable`), and changes of each.
AGENTS_MAX, CHANGES_MAX = 5_000, 100
#: Slots, capabilities and reasons shown of one agent, and characters of one text.
SLOTS_SHOWN, CAPABILITIES_SHOWN, REASONS_SHOWN, TEXT_SHOWN = 100, 2_000, 20, 300

#: Nearest misses of a column.
MISSES_SHOWN = 3

#: Something that JSON can carry, as a page gets it.
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class BuildLink:
    """Where Buildbot shows what a session of this master runs. `builder`: its id; `number`: the build's."""

    request: str
    builder: int | None
    number: int | None


@dataclass
class Known:
    """One agent. Times are seconds since the epoch, this machine's."""

    status: Status
    heard: float
    state: str = ""
    #: since when it is in that state
    since: float = 0.0
    #: (when, state, reasons), oldest first
    changes: deque[tuple[float, str, tuple[str, ...]]] = field(default_factory=lambda: deque(maxlen=CHANGES_MAX))
    left: float | None = None
    #: capability -> how it was found, as it told last
    found: Mapping[str, str] = field(default_factory=dict)
    #: its row with that row's version: a viewer asks for what is newer than what it has
    row: Row = field(default_factory=dict)
    at: int = 0
    abilities: Abilities = field(default_factory=Abilities)
    #: slots that claim or hold work, those that are idle, and what they hold
    busy: int = 0
    idle: int = 0
    sessions: tuple[str, ...] = ()
    shown_capabilities: list[list[str]] = field(default_factory=list)
    #: signatures that it serves, of those wanted at the last look
    serves: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        """ "account/instance": what tells one agent from all others."""
        return f"{address_user(self.status.address)}/{self.status.instance}"

    @property
    def takes_work(self) -> bool:
        """It takes an offer when a slot is free."""
        return self.state in ("idle", "busy", "starting")

    @property
    def free(self) -> int:
        """How many offers it would take now."""
        return self.idle if self.takes_work else 0

    def tell(self, status: Status, now: float) -> tuple[bool, bool]:
        """Is there something in it that a row shows? Is there, of what it can do and is called?"""
        same = bool(self.row) and _shape(status) == _shape(self.status)
        renamed = status.agent != self.status.agent
        self.status, self.heard = status, now
        self.found = status.found or self.found
        self.left = now if status.state == "leaving" else None
        able = self.abilities.learn(status.capabilities)
        if able:
            self.shown_capabilities = _capabilities(self.abilities.told)
        if not same:
            self.busy = sum(slot.state in ("claiming", "held") for slot in status.slots)
            self.idle = sum(slot.state == "idle" for slot in status.slots)
            self.sessions = tuple(slot.session for slot in status.slots if slot.session is not None)
        return not same or able, able or renamed

    def is_silent(self, now: float) -> bool:
        """Its next status is missing."""
        return now - self.heard > self.status.silent_after

    @property
    def due(self) -> float:
        """When to look at it, if it says nothing more: it is silent then, or not shown any more."""
        if self.left is not None:
            return self.left + LEAVING_SHOWN
        return self.heard + (SILENT_SHOWN if self.state == "silent" else self.status.silent_after)

    def now_in(self, state: str, now: float) -> None:
        reasons = tuple(shown(reason, TEXT_SHOWN) for reason in self.status.reasons[:REASONS_SHOWN])
        if not self.changes or (state, reasons) != self.changes[-1][1:]:
            self.changes.append((now, state, reasons))
        if state != self.state:
            self.state, self.since = state, now


class Agents:
    """Fed with each status that is believed, ticked every few seconds, asked for rows."""

    def __init__(self) -> None:
        self._known: dict[Key, Known] = {}
        self._last = LastHeard()
        self._due = Due()
        #: as all were at the last look
        self.tally = Tally()
        #: grows with each changed row
        self.at = 0
        #: whose rows are to be made anew; of what all were made at the last look
        self._changed: set[Key] = set()
        self._wanted: Mapping[str, Requirements] = {}
        self._links: Mapping[str, BuildLink] = {}
        #: signature -> what those that come nearest lack, until an agent can do something else, comes or goes
        self._misses: dict[str, list[str]] = {}
        #: (row version, id) of those not shown any more, oldest first
        self._gone: deque[tuple[int, str]] = deque(maxlen=AGENTS_MAX)

    def __iter__(self) -> Iterator[Known]:
        return iter(self._known.values())

    def __len__(self) -> int:
        return len(self._known)

    def hear(self, status: Status, now: float) -> None:
        """A status came, at `now` (seconds since the epoch)."""
        key = (address_user(status.address), status.instance)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= AGENTS_MAX:
                gives_way = self._dispensable(key[0], now)
                if gives_way is None:
                    return
                self._drop(gives_way)
            known = self._known[key] = Known(status, now)
        elif status.epoch < known.status.epoch:
            return  # late news of a connection that is gone
        self._last.heard(key)
        was = known.state
        changed, able = known.tell(status, now)
        known.now_in(_state(status, known), now)
        self._due.by(key, known.due)
        if changed or known.state != was:
            self._changed.add(key)
        if able or "silent" in (was, known.state) or not was:
            self._misses.clear()

    def tick(self, now: float) -> None:
        """Notice who is silent; drop who has left, or was silent for a day."""
        for key in self._due.take(now):
            known = self._known[key]
            if now - known.heard > SILENT_SHOWN or (known.left is not None and now - known.left > LEAVING_SHOWN):
                self._drop(key)
                continue
            if known.left is None and known.is_silent(now):
                if known.state != "silent":
                    self._changed.add(key)
                    self._misses.clear()
                known.now_in("silent", now)
            self._due.by(key, known.due)

    def find(self, identity: str) -> Known | None:
        """By its `id`; None: it was not heard for a day."""
        account, _, instance = identity.rpartition("/")
        return self._known.get((account, instance))

    def look(self, wanted: Mapping[str, Requirements], links: Mapping[str, BuildLink]) -> None:
        """Bring all rows up to date. `wanted`: signatures of columns; `links`: of this master's sessions."""
        for key in self._to_make(wanted, links):
            known = self._known[key]
            known.serves = [name for name, it in wanted.items() if known.abilities.meet(it)]
            self.tally.put(key, AgentCount(known.state, known.takes_work, known.busy, known.free, tuple(known.serves)))
            row = _row(known, links)
            if row != known.row:
                self.at += 1
                known.at, known.row = self.at, row

    def _to_make(self, wanted: Mapping[str, Requirements], links: Mapping[str, BuildLink]) -> Collection[Key]:
        """Of 1,000 agents that tell of themselves every 5 s, few tell something new."""
        changed, self._changed = self._changed & self._known.keys(), set()
        others = {session for session in {*links, *self._links} if links.get(session) != self._links.get(session)}
        every = tuple(wanted) != tuple(self._wanted)
        self._wanted, self._links = dict(wanted), dict(links)
        if every:
            return tuple(self._known)
        if others:
            changed |= {key for key, known in self._known.items() if not others.isdisjoint(known.sessions)}
        return changed

    def misses(self, requirements: Requirements) -> list[str]:
        """What those that come nearest lack: "builder7 has gtk 2.24, needs gtk>=3"."""
        found = self._misses.get(requirements.signature)
        if found is None:
            alive = (
                (known.status.agent, known.abilities.named(requirements)) for known in self if known.state != "silent"
            )
            found = [shown(miss, TEXT_SHOWN) for miss in nearest_misses(requirements, alive)[:MISSES_SHOWN]]
            self._misses[requirements.signature] = found
        return found

    def rows(self, since: int) -> list[Row]:
        """Rows that have changed since row version `since`."""
        return [known.row for known in self._known.values() if known.at > since]

    def gone(self, since: int) -> list[str] | None:
        """Who is not shown any more since then; None where that is forgotten, so that a viewer takes all anew."""
        if len(self._gone) == self._gone.maxlen and self._gone[0][0] > since:
            return None
        return [identity for at, identity in self._gone if at > since]

    def _dispensable(self, account: str, now: float) -> Key | None:
        """Who is not shown any more, so that an agent of `account` can be; None: that one is not shown.

        The one heard longest ago of the account that has the most: whoever floods us hides none but its own. Not one
        that is there, for one more of an account with as many: of 5,001 agents it would be the next to tell its status,
        and all would be new each time. Then one that is silent goes, of an account that has no fewer.
        """
        last, own = self._last, self._last.count(account)
        largest = last.largest(now)
        oldest = last.first(largest)
        if own < last.count(largest) - 1 or self._known[oldest].is_silent(now):
            return oldest
        oldest = last.first()
        return oldest if last.count(oldest[0]) >= own and self._known[oldest].is_silent(now) else None

    def _drop(self, key: Key) -> None:
        known = self._known.pop(key)
        self._last.drop(key)
        self._due.drop(key)
        self.tally.drop(key)
        self._misses.clear()
        self.at += 1
        self._gone.append((self.at, known.id))


def _shape(status: Status) -> tuple[Any, ...]:
    """What a row shows of it, beside what it can do."""
    return (status.agent, status.state, status.reasons, status.slots, status.version, status.started, status.address)


def _row(known: Known, links: Mapping[str, BuildLink]) -> Row:
    status = known.status
    return {
        "id": known.id,
        "name": shown(status.agent, TEXT_SHOWN),
        "account": address_user(status.address),
        "state": known.state,
        "since": round(known.since),
        "reasons": [shown(reason, TEXT_SHOWN) for reason in status.reasons[:REASONS_SHOWN]],
        "slots": [
            {
                "state": slot.state,
                "title": shown(slot.title, TEXT_SHOWN),
                "master": shown(slot.master or "", TEXT_SHOWN),
                "since": round(moment(slot.since)),
                "link": asdict(link) if (link := links.get(slot.session or "")) is not None else None,
            }
            for slot in status.slots[:SLOTS_SHOWN]
            if slot.state != "idle"
        ],
        "capacity": len(status.for_builds),
        "serves": known.serves,
        "capabilities": known.shown_capabilities,
        "version": shown(status.version, TEXT_SHOWN),
        "started": round(moment(status.started)),
        "heard": round(known.heard) if known.state == "silent" else None,
    }


def _capabilities(capabilities: Sequence[tuple[str, str | None]]) -> list[list[str]]:
    return [
        [shown(name, TEXT_SHOWN), shown(version or "", TEXT_SHOWN)]
        for name, version in capabilities[:CAPABILITIES_SHOWN]
    ]


def _state(status: Status, known: Known) -> str:
    """One word: what an agent says of itself, "idle" or "busy" where it is well."""
    if status.state == "ready":
        return "busy" if known.busy else "idle"
    return status.state
