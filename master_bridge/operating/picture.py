"""The fleet as one picture: lines of text for people, `FleetReport` for programs. Pure.

What is shown is what Buildbot's page shows (`master_bridge.fleet`), all text of others `shown`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from contracts import topology
from contracts.messages import Work
from contracts.protocol_version import Versions
from contracts.readable import shown
from master_bridge.fleet.agents import TEXT_SHOWN, Agents, Row
from master_bridge.fleet.columns import FleetColumn, column_rows, read, summary, waiters_of
from master_bridge.fleet.lines import (
    AGENT_COLUMNS,
    COLUMN_COLUMNS,
    Choice,
    Shown,
    agent_cells,
    chosen,
    column_cells,
    groups,
    summary_line,
)
from master_bridge.fleet.tables import TableColumn, fitted, line, plain
from master_bridge.operating.port import QueueFigures
from master_bridge.operating.report import FleetReport
from master_bridge.operating.survey import Survey

QUEUE_COLUMNS = (
    TableColumn(title="queue", least=20),
    TableColumn(title="waiting", least=7, right=True),
    TableColumn(title="held", least=4, right=True),
    TableColumn(title="consumers", least=9, right=True),
)
#: What others wrote of one account or peer: so many of them are named.
NAMED_MAX = 20


@dataclass(frozen=True, kw_only=True)
class Picture:
    """At `now`, seconds since the epoch. `foreign`: who uses a version that we, or a master, do not, and which."""

    now: float
    summary: Row
    agents: tuple[Shown, ...]
    columns: tuple[Row, ...]
    works: tuple[Work, ...]
    queues: tuple[QueueFigures, ...] = ()
    foreign: tuple[tuple[str, str], ...] = ()
    #: accounts that say more than is kept of one
    left_out: tuple[str, ...] = ()

    @classmethod
    def of(cls, survey: Survey, queues: Iterable[QueueFigures], *, now: float) -> Picture:
        """What was heard until now."""
        return cls.made(
            now=now,
            fleet=survey.fleet,
            columns=survey.columns,
            works=survey.works,
            queues=tuple(queues),
            foreign=(*sorted(survey.foreign.items()), *_strangers(survey)),
            left_out=tuple(sorted(survey.left_out)),
        )

    @classmethod
    def made(
        cls, *, now: float, fleet: Agents, columns: Mapping[str, Iterable[str]], works: Iterable[Work], **rest: Any
    ) -> Picture:
        """`columns`: signature -> its masters; `rest`: the fields of that name."""
        known = {
            signature: FleetColumn(signature=signature, requirements=requirements, masters=tuple(sorted(masters)))
            for signature, masters in sorted(columns.items())
            if (requirements := read(signature)) is not None
        }
        works = tuple(works)
        waiting = [waiter for work in works for waiter in waiters_of(work, work.master)]
        fleet.tick(now)
        fleet.look({name: column.requirements for name, column in known.items()}, {})
        rows = column_rows(known, (each for each in waiting if each.signature in known), fleet, now)
        return cls(
            now=now,
            summary=summary(fleet, len(waiting)),
            agents=tuple((each.row, each.status) for each in fleet),
            columns=tuple(rows.values()),
            works=works,
            **rest,
        )

    @property
    def asked(self) -> frozenset[str]:
        """Capabilities that columns ask for."""
        return frozenset(name for column in self.columns for name in column["names"])

    def report(self, choice: Choice) -> FleetReport:
        """For programs: the agents of `choice`, and all the rest."""
        return FleetReport.model_validate(
            {
                "now": self.now,
                "summary": self.summary,
                "agents": [_agent_fields(row, status, self.now) for row, status in chosen(self.agents, choice)],
                "columns": self.columns,
                "masters": [
                    {"master": work.master, "version": work.version, "requests": work.requests, "more": work.more,
                     "protocol": (work.v, work.upto)}
                    for work in self.works
                ],
                "queues": [{**asdict(each), "signature": topology.queue_signature(each.name)} for each in self.queues],
                "incompatible": [{"sender": sender, "reason": reason} for sender, reason in self.foreign],
                "left_out": self.left_out,
            }
        )  # fmt: skip


def _agent_fields(row: Row, status: Any, now: float) -> dict[str, Any]:
    return {
        **{name: getattr(status, name) for name in ("agent", "instance", "epoch", "state", "reasons", "slots", "found",
                                                    "queues", "version", "started")},
        "id": row["id"],
        "account": row["account"],
        "doing": row["state"],
        "serves": row["serves"],
        "capabilities": {each.name: each.version for each in status.capabilities},
        "protocol": (status.v, status.upto),
        "clock_ahead": round(status.now - now, 1),
    }  # fmt: skip


def _strangers(survey: Survey) -> Iterable[tuple[str, str]]:
    """Agents and masters that we can read, but not each other."""
    for agent in survey.agents:
        theirs = Versions(oldest=agent.v, newest=agent.upto)
        for work in survey.works:
            masters = Versions(oldest=work.v, newest=work.upto)
            if theirs.common(masters) is None:
                yield (
                    agent.agent,
                    f"protocol version {theirs}; master {work.master} speaks {masters}, so it gets no work of it: "
                    "upgrade the older of the two",
                )


# -- lines ------------------------------------------------------------------------------------------------------------


def head(picture: Picture, choice: Choice, shown_agents: int) -> list[str]:
    """What comes first: the summary, what is filtered, what is wrong."""
    lines = [summary_line(picture.summary)]
    if choice.text or choice.requirements is not None:
        lines.append(f"shown: {shown_agents} of {picture.summary['agents']} agents ({_filters(choice)})")
    lines += [f"incompatible: {shown(sender)}: {shown(reason)}" for sender, reason in picture.foreign[:NAMED_MAX]]
    lines += [f"account {shown(each)} tells more than is shown of one account" for each in picture.left_out[:NAMED_MAX]]
    if more := len(picture.foreign[NAMED_MAX:]) + len(picture.left_out[NAMED_MAX:]):
        lines.append(f"… and {more} more")
    return lines


def _filters(choice: Choice) -> str:
    words = [f"with the words {shown(choice.text)}"] if choice.text else []
    if choice.requirements is not None:
        words.append(f"that offer {shown(choice.requirements.signature)}")
    return ", ".join(words)


@dataclass(frozen=True, kw_only=True)
class AgentLine:
    """Of the agents' table. `cells` are as wide as their columns; `row` None: a group's heading."""

    cells: tuple[str, ...]
    row: Row | None = None


def agent_lines(picture: Picture, choice: Choice, width: int | None) -> tuple[str, list[AgentLine]]:
    """The titles' line, and the agents'. `width`: of the terminal, None: nothing is cut."""
    asked = None if choice.all_capabilities else picture.asked
    there = [
        (name, [(row, agent_cells(row, asked, picture.now)) for row, _ in members])
        for name, members in groups(chosen(picture.agents, choice), choice).items()
    ]
    widths = fitted(AGENT_COLUMNS, [cells for _, members in there for _, cells in members], width)
    titles = [column.title.upper() for column in AGENT_COLUMNS]
    lines: list[AgentLine] = []
    for name, members in there:
        if name:
            heading = f"{name} ({len(members)})"
            lines.append(AgentLine(cells=(heading if width is None else heading[:width],)))
        lines += [AgentLine(cells=tuple(line(cells, AGENT_COLUMNS, widths)), row=row) for row, cells in members]
    return "  ".join(line(titles, AGENT_COLUMNS, widths)), lines


def column_lines(picture: Picture, width: int | None) -> list[str]:
    return plain(COLUMN_COLUMNS, [column_cells(row) for row in picture.columns], width)


def queue_lines(queues: Iterable[QueueFigures], width: int | None) -> list[str]:
    rows = [
        (queue_name(queue), str(queue.ready), "" if queue.held is None else str(queue.held), str(queue.consumers))
        for queue in queues
    ]
    return plain(QUEUE_COLUMNS, rows, width)


def queue_name(queue: QueueFigures) -> str:
    """As the broker has it, with its signature where that is written another way there."""
    signature = topology.queue_signature(queue.name)
    other = signature and not queue.name.endswith(f".{signature}")
    return shown(f"{queue.name} ({signature})" if other else queue.name, TEXT_SHOWN)


def draw(picture: Picture, choice: Choice | None = None, width: int | None = None) -> list[str]:
    """All of it, as lines: summary, agents, columns, queues."""
    choice = choice or Choice()
    titles, lines = agent_lines(picture, choice, width)
    parts = head(picture, choice, sum(each.row is not None for each in lines))
    if lines:
        parts += ["", titles, *("  ".join(each.cells) for each in lines)]
    if picture.columns:
        parts += ["", *column_lines(picture, width)]
    if picture.queues:
        parts += ["", *queue_lines(picture.queues, width)]
    return parts
