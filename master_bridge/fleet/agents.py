"""All agents that were heard, the silent and the leaving among them, with what became of each. Pure.

`FleetView` answers what work may hope for, so it forgets at once who is silent. People look for exactly those: this
keeps them for a day, and what each was in before. All text is `shown`, all numbers are `finite`: agents are foreign.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from contracts.messages import Status
from contracts.readable import moment, shown
from contracts.requirements.sets import Requirements
from contracts.timing import STATUS_INTERVAL
from contracts.topology import address_user

#: Seconds without a status after which an agent is shown as silent.
SILENT_AFTER = 3 * STATUS_INTERVAL
#: Seconds for which one is shown that said that it leaves, and one that is silent.
LEAVING_SHOWN, SILENT_SHOWN = 30.0, 86_400.0
#: Agents that are kept (first goes, of the account with most, who was heard longest ago), and changes of each.
AGENTS_MAX, CHANGES_MAX = 5_000, 100
#: Slots, capabilities and reasons shown of one agent, and characters of one text.
SLOTS_SHOWN, CAPABILITIES_SHOWN, REASONS_SHOWN, TEXT_SHOWN = 100, 2_000, 20, 300

#: Account and instance.
Key = tuple[str, str]
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
    #: what its row is made of, and the row with its version: a viewer asks for what is newer than what it has
    basis: tuple[Any, ...] = ()
    row: Row = field(default_factory=dict)
    at: int = 0
    #: (name, version) of those of which `offers` (signature -> does it offer what is required) and
    #: `shown_capabilities` are made
    capabilities: tuple[tuple[str, str | None], ...] = ()
    offers: dict[str, bool] = field(default_factory=dict)
    shown_capabilities: list[list[str]] = field(default_factory=list)
    #: signatures that it serves, of those wanted at the last look
    serves: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        """ "account/instance": what tells one agent from all others."""
        return f"{address_user(self.status.address)}/{self.status.instance}"

    @property
    def busy(self) -> int:
        """Slots that claim or hold work."""
        return sum(slot.state in ("claiming", "held") for slot in self.status.slots)

    @property
    def takes_work(self) -> bool:
        """It takes an offer when a slot is free."""
        return self.state in ("idle", "busy", "starting")

    @property
    def free(self) -> int:
        """How many offers it would take now."""
        return sum(slot.state == "idle" for slot in self.status.slots) if self.takes_work else 0

    def satisfies(self, signature: str, requirements: Requirements) -> bool:
        found = self.offers.get(signature)
        if found is None:
            found = self.offers[signature] = requirements.satisfied_by(self.status.capabilities)
        return found

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
        #: grows with each changed row
        self.at = 0
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
            while len(self._known) >= AGENTS_MAX:
                self._drop(self._dispensable())
            known = self._known[key] = Known(status, now)
        elif status.epoch < known.status.epoch:
            return  # late news of a connection that is gone
        known.status, known.heard = status, now
        known.found = status.found or known.found
        known.left = now if status.state == "leaving" else None
        known.now_in(_state(status, known), now)

    def tick(self, now: float) -> None:
        """Notice who is silent; drop who has left, or was silent for a day."""
        for key, known in list(self._known.items()):
            if now - known.heard > SILENT_SHOWN or (known.left is not None and now - known.left > LEAVING_SHOWN):
                self._drop(key)
            elif known.left is None and now - known.heard > SILENT_AFTER:
                known.now_in("silent", now)

    def find(self, identity: str) -> Known | None:
        """By its `id`; None: it was not heard for a day."""
        account, _, instance = identity.rpartition("/")
        return self._known.get((account, instance))

    def look(self, wanted: Mapping[str, Requirements], links: Mapping[str, BuildLink]) -> None:
        """Bring all rows up to date. `wanted`: signatures of columns; `links`: of this master's sessions."""
        asked = tuple(wanted)
        for known in self._known.values():
            theirs = tuple(links.get(slot.session) for slot in known.status.slots if slot.session is not None)
            basis = (known.status, known.state, theirs, asked)
            if known.basis and known.basis[0] is basis[0] and known.basis[1:] == basis[1:]:
                continue
            known.basis = basis
            # comparing the models themselves takes ten times as long, and each of 1,000 agents tells its own each 5 s
            capabilities = tuple((each.name, each.version) for each in known.status.capabilities)
            if known.capabilities != capabilities or not known.row:
                known.capabilities, known.offers = capabilities, {}
                known.shown_capabilities = _capabilities(capabilities)
            known.serves = [name for name, it in wanted.items() if known.satisfies(name, it)]
            row = _row(known, links)
            if row != known.row:
                self.at += 1
                known.at, known.row = self.at, row

    def rows(self, since: int) -> list[Row]:
        """Rows that have changed since row version `since`."""
        return [known.row for known in self._known.values() if known.at > since]

    def gone(self, since: int) -> list[str] | None:
        """Who is not shown any more since then; None where that is forgotten, so that a viewer takes all anew."""
        if len(self._gone) == self._gone.maxlen and self._gone[0][0] > since:
            return None
        return [identity for at, identity in self._gone if at > since]

    def _dispensable(self) -> Key:
        """The one heard longest ago of the account that has the most: whoever floods us hides none but its own."""
        account, _ = Counter(account for account, _ in self._known).most_common(1)[0]
        return min((key for key in self._known if key[0] == account), key=lambda each: self._known[each].heard)

    def _drop(self, key: Key) -> None:
        known = self._known.pop(key)
        self.at += 1
        self._gone.append((self.at, known.id))


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
        "capacity": len(status.slots),
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
