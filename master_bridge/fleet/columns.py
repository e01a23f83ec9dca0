"""What the masters' columns need and have, and what waits for them. Pure.

A column is here all that has one signature, whichever builders, steps and masters name it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from contracts.errors import BadRequirement
from contracts.messages import ExpectedStart, Work
from contracts.readable import moment, shown
from contracts.requirements.sets import Requirements
from master_bridge.fleet.agents import TEXT_SHOWN, Agents, Row

#: Requests with one of these states have no agent yet.
SEEKING = ("window", "waiting", "granted")
#: Requests that are shown as waiting.
WAITING_SHOWN = 500


@dataclass(frozen=True, kw_only=True)
class FleetColumn:
    """As the masters' configurations have it."""

    signature: str
    requirements: Requirements
    #: of this master
    builders: tuple[str, ...] = ()
    #: workers of this master's Buildbot: builds that may run at once
    places: int = 0
    #: other masters that have such a column
    masters: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Waiter:
    """A request that has no agent. Times are seconds since the epoch."""

    request: str
    title: str
    since: float
    signature: str = ""
    #: the bridge's; "pending": Buildbot has not given it a place, so nobody was asked yet
    state: Literal["window", "waiting", "granted", "pending"]
    priority: int = 0
    #: agents that it has cost
    lives: int = 0
    #: "" for this one
    master: str = ""
    #: of this master's; what it builds: "" where that is not known
    builder: str = ""
    expected: ExpectedStart | None = None
    #: why Buildbot has not started it, where it is "pending"
    held_back: str = ""


def column_rows(
    columns: Mapping[str, FleetColumn], waiting: Iterable[Waiter], agents: Agents, now: float
) -> dict[str, Row]:
    """By signature. `agents` have looked at these columns; `now`: seconds since the epoch."""
    oldest: dict[str, list[float]] = {}
    for waiter in waiting:
        oldest.setdefault(waiter.signature, []).append(waiter.since)
    rows: dict[str, Row] = {}
    for signature, column in columns.items():
        theirs = oldest.get(signature, [])
        rows[signature] = {
            "signature": shown(signature, TEXT_SHOWN),
            "names": [shown(name, TEXT_SHOWN) for name in column.requirements.names],
            "builders": [shown(name, TEXT_SHOWN) for name in column.builders],
            "masters": [shown(name, TEXT_SHOWN) for name in column.masters],
            "places": column.places,
            "waiting": len(theirs),
            "oldest": round(max(0.0, now - min(theirs))) if theirs else None,
            **asdict(served := agents.tally.of(signature)),
            "missing": [] if served.qualified or served.unfit else agents.misses(column.requirements),
        }
    return rows


def waiting_rows(waiting: Iterable[Waiter], rows: Mapping[str, Row], *, down: str | None) -> list[Row]:
    """Those that seek an agent, then those that Buildbot holds back, each in its order. `rows`: of the columns.

    `down`: why the broker is out of reach.
    """
    found: list[Row] = []
    places: dict[tuple[str, str], int] = {}
    for waiter in sorted(waiting, key=lambda each: (each.state == "pending", -each.priority, each.since)):
        line = (waiter.signature, waiter.title if waiter.state == "pending" else "")
        places[line] = places.get(line, 0) + 1
        if len(found) < WAITING_SHOWN:
            found.append(
                {
                    "request": None if waiter.master else waiter.request,
                    "title": shown(waiter.title or waiter.request, TEXT_SHOWN),
                    "master": shown(waiter.master, TEXT_SHOWN),
                    "signature": shown(waiter.signature, TEXT_SHOWN),
                    "since": round(waiter.since),
                    "place": places[line],
                    "lost": waiter.lives,
                    "expected": _expected(waiter.expected),
                    "reason": _reason(waiter, rows.get(waiter.signature), down),
                }
            )
    return found


def read(signature: str) -> Requirements | None:
    """None: another master's, of a newer version or a broken one, that cannot be read here."""
    try:
        return Requirements.from_signature(signature)
    except BadRequirement:
        return None


def waiters_of(work: Work, master: str) -> Iterator[Waiter]:
    """What a master has told that has no agent. `master`: its name, as `Waiter` has it."""
    for view in work.requests:
        if view.state in (*SEEKING, "pending"):
            yield Waiter(
                request=view.request,
                title=view.title,
                since=moment(view.since),
                signature=view.signature,
                state=view.state,  # type: ignore[arg-type]  # looked at just above
                lives=view.lives,
                priority=view.priority,
                master=master,
                expected=view.expected,
                held_back=shown(view.reason),
            )


def summary(agents: Agents, waiting: int) -> Row:
    """How many agents there are, how many in each state, and their slots, as at the last look at them.

    `waiting`: requests without an agent.
    """
    tally = agents.tally
    return {
        "agents": len(agents),
        "states": dict(tally.states),
        "busy": tally.all.busy,
        "free": tally.all.free,
        "waiting": waiting,
    }


def _expected(expected: ExpectedStart | None) -> Row | None:
    if expected is None:
        return None
    return {name: round(moment(getattr(expected, name))) for name in ("early", "likely", "late")}


def _reason(waiter: Waiter, row: Row | None, down: str | None) -> str:
    """Why it has no agent, in one sentence."""
    if waiter.state == "pending":
        return f"Buildbot has not started it: {waiter.held_back}"
    if down is not None and not waiter.master:
        return f"the broker is out of reach: {shown(down, TEXT_SHOWN)}"
    if waiter.state == "window":
        return "its master asks first whether an agent has it already"
    if waiter.state == "granted":
        return "an agent is taking it"
    if row is None:
        return "waits for an agent"
    if row["free"]:
        return f"{row['free']} {'slot is' if row['free'] == 1 else 'slots are'} free: it is about to be taken"
    if row["qualified"]:
        one = row["qualified"] == 1
        return "the one agent that qualifies is busy" if one else f"all {row['qualified']} agents that qualify are busy"
    if row["unfit"]:
        return f"agents that have what is needed take no work (paused, unwell, silent, leaving): {row['unfit']}"
    nearest = f"; nearest: {'; '.join(row['missing'])}" if row["missing"] else ""
    return f"no agent offers {row['signature']}{nearest}"
