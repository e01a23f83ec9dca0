"""Whatever crosses a disk or a wire crosses the real formats here, too: a field that one of them drops is found."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from typing import Any

import pytest

from contracts.codec import Wire
from contracts.errors import BadMessage
from tests.simulation.plan import make_plan
from tests.simulation.planted.mutants import Mutant
from tests.simulation.run import run
from tests.simulation.world import read
from worker_agent.core.inputs import SessionMeta
from worker_agent.keepers import metas

_FOUND = "what is written is what is read"
_PROFILE, _SEEDS = "mixed", 80
#: The type is every message's default; bulk data is no field of the JSON.
_NOT_DROPPED = {"t", "data"}


@dataclass(frozen=True, kw_only=True)
class _Watching(Mutant):
    """Drops nothing; notes which fields of which files and messages say something."""

    told: set[tuple[str, str]] = field(default_factory=set)

    def written(self, kind: str, text: str) -> str:
        if kind == "meta":
            meta = metas.load(text)
            self.told.update(
                ("meta", known.name)
                for known in fields(SessionMeta)
                if known.default is MISSING or getattr(meta, known.name) != known.default
            )
        return text

    def sent(self, wire: Wire) -> Wire:
        message = read(wire)
        assert not isinstance(message, BadMessage)
        self.told.update((message.t, name) for name in type(message).model_fields if _says(message, name))
        return wire


def _says(message: Any, name: str) -> bool:
    default = type(message).model_fields[name].get_default()
    return name not in _NOT_DROPPED and getattr(message, name) != default


@cache
def _told() -> dict[tuple[str, str], int]:
    """(file or message, field) -> the first seed in which that field says something."""
    first: dict[tuple[str, str], int] = {}
    for seed in range(_SEEDS):
        watching = _Watching(name="watching")
        assert not run(make_plan(_PROFILE, seed), mutant=watching).failed
        for told in watching.told:
            first.setdefault(told, seed)
    return first


@pytest.mark.long
def test_every_field_that_says_something_is_missed_when_it_is_dropped() -> None:
    """Of the sessions' files, and of each message that agents and masters send."""
    survivors = []
    for drops, seed in sorted(_told().items()):
        outcome = run(make_plan(_PROFILE, seed), mutant=Mutant(name="drops", drops=drops))
        if outcome.invariant != _FOUND:
            survivors.append((drops, seed, outcome.invariant))
    assert survivors == []


def test_the_simulator_sends_what_agents_and_masters_send() -> None:
    """All fields of a session's file say something in these schedules, and most messages are sent."""
    told = _told()
    assert {("meta", known.name) for known in fields(SessionMeta)} <= set(told)
    sent = {kind for kind, _ in told}
    wanted = {
        "offer", "claim", "grant", "accept", "refuse", "later", "resume", "hold", "gone", "start", "interrupt",
        "event", "stored", "ping", "pull", "data", "release", "rollcall", "alive", "marker", "status",
    }  # fmt: skip
    assert wanted <= sent


@pytest.mark.parametrize("name", [known.name for known in fields(SessionMeta)])
def test_a_session_file_without_a_field_is_found(name: str) -> None:
    """Each of them, the one that will be added next included."""
    seed = _told()["meta", name]
    outcome = run(make_plan(_PROFILE, seed), mutant=Mutant(name="drops", drops=("meta", name)))
    assert outcome.invariant == _FOUND
