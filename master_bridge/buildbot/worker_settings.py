"""What may be said of a slot or a column in master.cfg, and what is wrong with what was said. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from buildbot.interfaces import IRenderable
from buildbot.locks import BaseLockId, LockAccess

from contracts.errors import BadRequirement
from contracts.requirements.sets import Requirements
from contracts.trust import sealing
from master_bridge.buildbot.search.preference import PREFER_SECONDS, Wanted, is_duration, preference, wrong_seconds

#: `fencing="strict"`: an agent without contact kills what runs after these seconds; the bridge waits longer.
STRICT_FENCING = 20.0
#: Minutes without any qualified agent after which a waiting build warns.
NOTICE_MINUTES = 10.0
#: Arguments of Buildbot's workers that make no sense for a slot in a queue, and why.
SENSELESS = {
    "password": "agents log in at the broker",
    "build_wait_timeout": "this worker gives its agent back after each build",
    "max_builds": "this worker runs one build at a time; make a column of more workers",
    "missing_timeout": "a build may wait in the queue for as long as it takes; see notify_after_minutes",
    "keepalive_interval": "the bridge watches its agents by itself",
    "check_instance_interval": "there is no instance to check",
    "machine_name": "the broker chooses the machine",
}
#: Buildbot's own arguments that are passed on, and what they are.
KNOWN = {
    "notify_on_missing": "a text or a list of texts",
    "properties": "a dictionary with texts as keys",
    "defaultProperties": "a dictionary with texts as keys",
    "locks": "a list of accesses to locks, as lock.access('counting'), or something to be rendered",
}
POSITIONAL = (
    'each argument but the name by its name, as in requires=["gtk>=3"]; and no password: agents log in at the broker'
)


def wrong_settings(
    requires: Any = (),
    fencing: Any = None,
    notify_after_minutes: Any = NOTICE_MINUTES,
    prefers: Any = (),
    prefer_seconds: Any = PREFER_SECONDS,
    seal: Any = False,
    **others: Any,
) -> Iterator[str]:
    """A sentence for each mistake, with the argument's name first."""
    for argument in others:
        if argument in SENSELESS:
            yield f"{argument}: not for this worker: {SENSELESS[argument]}"
        elif argument not in KNOWN:
            yield f"{argument}: no such argument"
        elif not _is_known(argument, others[argument]):
            yield f"{argument}: {KNOWN[argument]}, not {others[argument]!r}"
    yield from wrong_requirements(requires, prefers)
    if (problem := wrong_seconds(prefer_seconds)) is not None:
        yield problem
    yield from wrong_fencing(fencing)
    yield from wrong_seal(seal)
    minutes = notify_after_minutes
    if not is_duration(minutes):
        yield f"notify_after_minutes: a number of minutes above 0, not {minutes!r}"


def _is_known(argument: str, value: Any) -> bool:
    """May Buildbot be given this value? It would take any, and fail when it starts or reconfigures the worker."""
    if value is None:
        return True
    if argument == "notify_on_missing":
        return isinstance(value, str) or (isinstance(value, (list, tuple)) and all(isinstance(it, str) for it in value))
    if argument in ("properties", "defaultProperties"):
        return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
    if IRenderable.providedBy(value):
        return True
    return isinstance(value, (list, tuple)) and all(isinstance(it, (LockAccess, BaseLockId)) for it in value)


def passed_on(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `arguments` that Buildbot can be given; what is wrong with the others is told."""
    return {name: value for name, value in arguments.items() if name in KNOWN and _is_known(name, value)}


def wrong_fencing(fencing: Any) -> Iterator[str]:
    if fencing not in (None, "strict"):
        yield f"fencing: None or 'strict', not {fencing!r}"


def wrong_seal(seal: Any, *others: Any) -> Iterator[str]:
    """`others`: values beside True and False that have a meaning."""
    if not isinstance(seal, bool) and seal not in others:
        yield f"seal: True or False, not {seal!r}"
    elif seal and (problem := sealing.unavailable()) is not None:
        yield f"seal: this master cannot seal: {problem}"


def wrong_requirements(requires: Any, prefers: Any) -> Iterator[str]:
    """Each requirement on its own, so that all mistakes are told, then both sets together."""
    problems = [*_wrong_texts("requires", requires), *_wrong_texts("prefers", prefers)]
    if not problems:
        try:
            Requirements.of(texts(requires))
            preference(texts(requires), texts(prefers), PREFER_SECONDS)
        except BadRequirement as error:
            problems.append(f"requires: {error}")
    yield from problems


def _wrong_texts(argument: str, value: Any) -> Iterator[str]:
    if not isinstance(value, (str, list, tuple)) or not all(isinstance(text, str) for text in value):
        yield f'{argument}: a list of texts such as ["gtk>=3"], not {value!r}'
        return
    for text in texts(value):
        try:
            Requirements.of([text])
        except BadRequirement as error:
            yield f"{argument}: {error}"


def asked(requires: Any, seal: bool) -> list[str]:
    """What is required of an agent: of one that gets what is sealed also that it can seal."""
    return [*texts(requires), *([sealing.CAPABILITY] if seal else [])]


def wanted_by(step: Any) -> Wanted:
    """What a step asks of its agents, by its rendered arguments. Its `seal` None: as its build's worker."""
    seal = bool(getattr(step.worker, "seal", False)) if step.seal is None else step.seal
    requires = asked(step.requires, seal)
    return Wanted(
        requirements=Requirements.of(requires),
        preference=preference(requires, texts(step.prefers), step.prefer_seconds),
        seal=seal,
        fencing=STRICT_FENCING if step.fencing == "strict" else None,
    )


def texts(value: Any) -> list[str]:
    """One text stands for a list of one."""
    return [value] if isinstance(value, str) else list(value)
