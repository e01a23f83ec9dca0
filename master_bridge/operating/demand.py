"""How many slots each column of all masters wants, beside what there is: for scalers, and for people. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from contracts.errors import BadRequirement
from contracts.readable import finite, moment
from contracts.requirements.sets import Requirements
from master_bridge.fleet.demand import Demand, demand
from master_bridge.operating.survey import Survey


@dataclass(frozen=True, kw_only=True)
class ColumnDemand:
    """`slots` is what is wanted: `waiting` + `running`. `oldest_wait` is in seconds, 0 where nothing waits."""

    column: str
    slots: int
    waiting: int
    running: int
    oldest_wait: float
    #: live agents that qualify and take work, and their slots
    agents: int
    busy: int
    free: int


def demands(survey: Survey, now: float) -> list[ColumnDemand]:
    """Of all columns, by name. `now`: seconds since the epoch."""
    requests = [view for work in survey.works for view in work.requests]
    found = demand(requests, survey.signatures)
    return [column for name in sorted(found) for column in _of(name, found[name], survey, now)]


def left_out(survey: Survey) -> int:
    """Requests that no message had room for: the oldest of each master are told first."""
    return sum(work.more for work in survey.works)


def _of(name: str, wanted: Demand, survey: Survey, now: float) -> Iterator[ColumnDemand]:
    """None for what cannot be read here, as of a newer master."""
    try:
        requirements = Requirements.from_signature(name)
    except BadRequirement:
        return
    able = [
        agent
        for agent in survey.agents
        if agent.state in ("ready", "starting") and requirements.satisfied_by(agent.capabilities)
    ]
    states = [slot.state for agent in able for slot in agent.for_builds if slot.state != "aside"]
    yield ColumnDemand(
        column=name,
        slots=wanted.slots,
        waiting=wanted.waiting,
        running=wanted.running,
        oldest_wait=round(finite(now - moment(wanted.oldest)), 1) if wanted.oldest is not None else 0.0,
        agents=len(able),
        busy=len(states) - states.count("idle"),
        free=states.count("idle"),
    )
