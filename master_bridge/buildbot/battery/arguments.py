"""What may be said of a battery in master.cfg, and what is wrong with what was said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from buildbot.interfaces import IBuildStep, IBuildStepFactory, IRenderable

from master_bridge.buildbot import places
from master_bridge.buildbot.battery.preparing import ARCHIVE
from master_bridge.buildbot.battery.units import has_units, wrong_units
from master_bridge.buildbot.search.preference import is_duration, wrong_seconds
from master_bridge.buildbot.worker_settings import wrong_fencing, wrong_requirements, wrong_seal

RETRIES_MAX = 10


def is_rendered_later(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(is_rendered_later(item) for item in value)
    return bool(IRenderable.providedBy(value))


def wrong_arguments(step: Any, command: Any, others: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each mistake, with the argument's name first."""
    if not isinstance(step.units, str) and not is_rendered_later(step.units):
        problem = wrong_units(step.units)
        if problem is not None:
            yield problem
    if isinstance(command, str):
        yield 'command: a list, as in ["pytest", util.Units()], not a text: units are arguments'
    elif not is_rendered_later(command) and not has_units(command):
        yield "command: util.Units() stands where a shard's units belong, and it stands nowhere"
    known = [() if is_rendered_later(value) else value for value in (step.requires, step.prefers)]
    yield from wrong_requirements(*known)
    yield from (problem for problem in (wrong_seconds(step.prefer_seconds),) if problem is not None)
    yield from wrong_fencing(step.fencing)
    yield from wrong_seal(step.seal, None)
    if not is_duration(step.target_seconds):
        yield f"target_seconds: a number of seconds above 0, not {step.target_seconds!r}"
    if isinstance(step.retries, bool) or not isinstance(step.retries, int) or not 0 <= step.retries <= RETRIES_MAX:
        yield f"retries: a whole number from 0 to {RETRIES_MAX}, not {step.retries!r}"
    if step.report is not None and not is_rendered_later(step.report) and not isinstance(step.report, str):
        yield f'report: the name of a file, as in "junit.xml", not {step.report!r}'
    for item in step.prepare:
        if item != ARCHIVE and not IBuildStep.providedBy(item) and not IBuildStepFactory.providedBy(item):
            yield f'prepare: "archive" and steps, as in ["archive"] or [steps.Git(…)], not {item!r}'
    for name in sorted(set(places.named({"command": command, **others}))):
        yield f"{name} is a folder of the build's own worker; {places.INSTEAD}"
