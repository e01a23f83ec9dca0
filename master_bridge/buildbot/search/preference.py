"""What is asked for first, and what after a while: "an agent with a warm cache, any after 20 s"."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

from contracts.requirements.sets import Requirements

#: Seconds for which an agent that is preferred is waited for.
PREFER_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class Preference:
    """An agent with `requirements`, which hold what is required anyway, is waited for, for so many seconds."""

    requirements: Requirements
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a build or a step asks of its agent."""

    requirements: Requirements
    #: None: nothing is preferred
    preference: Preference | None = None
    #: rule 24: only an agent that can seal gets it
    seal: bool = False
    #: seconds without its master after which the agent kills what runs (strict fencing); None: it runs on
    fencing: float | None = None


def preference(requires: Iterable[str], prefers: Iterable[str], seconds: float) -> Preference | None:
    """None when nothing is preferred, or nothing beyond what is required. Raises `BadRequirement`."""
    requires = tuple(requires)
    both = Requirements.of([*requires, *prefers])
    return Preference(requirements=both, seconds=seconds) if both != Requirements.of(requires) else None


def is_duration(value: object) -> bool:
    """A number above 0 that clocks know: neither "not a number" nor infinite."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value) and value > 0


def wrong_seconds(seconds: object) -> str | None:
    """What is wrong with the argument `prefer_seconds`; None: nothing."""
    if is_duration(seconds):
        return None
    return f"prefer_seconds: a number of seconds above 0, not {seconds!r}"
