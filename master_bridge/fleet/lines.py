"""One line an agent, and one a column: cells, order and filter, as Buildbot's page has them, too. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.messages import Status
from contracts.readable import duration
from contracts.requirements.sets import Requirements
from master_bridge.fleet.agents import Row
from master_bridge.fleet.tables import TableColumn

AGENT_COLUMNS = (
    TableColumn(title="agent", least=12),
    TableColumn(title="state", least=7),
    TableColumn(title="slots", least=5),
    TableColumn(title="runs", least=12),
    TableColumn(title="for", least=6, spare=1, right=True),
    TableColumn(title="capabilities", least=16, spare=2),
    TableColumn(title="version", least=7, spare=4),
    TableColumn(title="up", least=6, spare=3, right=True),
)
COLUMN_COLUMNS = (
    TableColumn(title="column", least=16),
    TableColumn(title="waiting", least=7, right=True),
    TableColumn(title="oldest", least=6, right=True),
    TableColumn(title="agents", least=6, right=True),
    TableColumn(title="busy", least=4, right=True),
    TableColumn(title="free", least=4, right=True),
    TableColumn(title="missing", least=20),
)
#: Where each of these agents stands, when it is sorted by this; equal ones by name.
SORTS: Mapping[str, Callable[[Row], Any]] = {
    "agent": lambda row: row["name"].lower(),
    "state": lambda row: row["state"],
    "runs": lambda row: row["slots"][0]["title"] if row["slots"] else "\U0010ffff",
    "for": lambda row: _since(row) or float("inf"),
    "slots": lambda row: row["capacity"] - len(row["slots"]),
    "version": lambda row: row["version"],
    "up": lambda row: -row["started"],
}
#: Of states, as rich names colours.
STYLES = {"idle": "green", "busy": "bold", "unwell": "red", "silent": "red", "paused": "yellow", "draining": "yellow"}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which agents are shown, and how."""

    sort: str = "agent"
    reverse: bool = False
    #: words that an agent's line must have, all of them
    text: str = ""
    #: what an agent must offer
    requirements: Requirements | None = None
    #: also capabilities that no queue asks for
    all_capabilities: bool = False
    #: by the columns that they serve
    grouped: bool = False


#: An agent's row, and the status of which it was made.
Shown = tuple[Row, Status]


def chosen(agents: Iterable[Shown], choice: Choice) -> list[Shown]:
    """Those that are shown, in their order."""
    words = choice.text.lower().split()
    wanted = choice.requirements
    found = [
        (row, status)
        for row, status in agents
        if (not words or all(word in text for text in [text_of(row)] for word in words))
        and (wanted is None or wanted.satisfied_by(status.capabilities))
    ]
    key = SORTS[choice.sort]
    return sorted(found, key=lambda each: (key(each[0]), each[0]["name"]), reverse=choice.reverse)


def groups(agents: Sequence[Shown], choice: Choice) -> Mapping[str, list[Shown]]:
    """Heading -> its agents; one without a heading where they are not grouped."""
    found: dict[str, list[Shown]] = {}
    for row, status in agents:
        name = ("   ".join(row["serves"]) or "serves no column of these masters") if choice.grouped else ""
        found.setdefault(name, []).append((row, status))
    return found


def text_of(row: Row) -> str:
    """All that a free text is looked for in."""
    parts = [row["name"], row["account"], row["state"], row["version"], *row["reasons"], *row["serves"]]
    parts += [slot["title"] for slot in row["slots"]]
    return "\n".join([*parts, *map(capability, row["capabilities"])]).lower()


def agent_cells(row: Row, asked: Collection[str] | None, now: float) -> tuple[str, ...]:
    """As `AGENT_COLUMNS` has them. `asked`: capabilities that queues ask for; None: all are shown."""
    since = _since(row)
    taken = sum(slot["state"] != "aside" for slot in row["slots"])
    return (
        row["name"],
        state(row, now),
        f"{taken}/{row['capacity']}",
        ", ".join(f"{slot['title'] or 'a claim'}{_of(slot['master'])}" for slot in row["slots"]),
        duration(now - since) if since else "",
        capabilities(row, asked),
        row["version"],
        duration(now - row["started"]) if row["started"] else "",
    )


def column_cells(row: Row) -> tuple[str, ...]:
    """Of a row of `columns.column_rows`, as `COLUMN_COLUMNS` has them."""
    oldest = "" if row["oldest"] is None else duration(row["oldest"])
    figures = (str(row[name]) for name in ("qualified", "busy", "free"))
    return (row["signature"], str(row["waiting"]), oldest, *figures, "; ".join(row["missing"]))


def state(row: Row, now: float) -> str:
    """`busy`, `unwell: disk is full`, `silent: last heard 20 s ago`."""
    why = [f"last heard {duration(now - row['heard'])} ago"] if row["heard"] else []
    return ": ".join(filter(None, [row["state"], "; ".join([*row["reasons"], *why])]))


def capabilities(row: Row, asked: Collection[str] | None) -> str:
    """`gtk 3.24, python 3.11 +42`."""
    named = [each for each in row["capabilities"] if asked is None or each[0] in asked]
    more = len(row["capabilities"]) - len(named)
    return " ".join(filter(None, [", ".join(map(capability, named)), f"+{more}" if more else ""]))


def capability(each: Sequence[str]) -> str:
    return " ".join(filter(None, each))


def summary_line(summary: Row) -> str:
    """`1000 agents: 600 idle, 380 busy, 20 paused; slots: 380 busy, 620 free; 12 requests wait`."""
    states = sorted(summary["states"].items(), key=lambda each: (-each[1], each[0]))
    agents = _counted(summary["agents"], "agent") + (
        ": " + ", ".join(f"{count} {name}" for name, count in states) if states else ""
    )
    waiting = f"{_counted(summary['waiting'], 'request')} {'waits' if summary['waiting'] == 1 else 'wait'}"
    return f"{agents}; slots: {summary['busy']} busy, {summary['free']} free; {waiting}"


def _since(row: Row) -> int | None:
    """When the first of what it runs began."""
    return min((slot["since"] for slot in row["slots"] if slot["since"]), default=None)


def _of(master: str) -> str:
    return f" ({master})" if master else ""


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
