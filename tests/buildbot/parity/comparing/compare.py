"""Compares two builds; a log may differ only in ways that `differences.DIFFERENCES` lists and the test names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tests.buildbot.parity.comparing.differences import DIFFERENCES, Lines
from tests.buildbot.parity.comparing.picture import BuildPicture, StepPicture


def differences(
    reference: BuildPicture, ours: BuildPicture, listed: Mapping[str, Sequence[str]] | None = None
) -> list[str]:
    """One line for each thing in which `ours` is not `reference`; empty when they are equal.

    `listed`: step -> names of listed differences that its logs show. One that they do not show is told, too.
    """
    return list(_build(reference, ours, listed or {}))


def _build(reference: BuildPicture, ours: BuildPicture, listed: Mapping[str, Sequence[str]]) -> Iterator[str]:
    yield from _value("result", reference.result, ours.result)
    yield from _value("state", reference.state, ours.state)
    names = [step.name for step in reference.steps]
    yield from _value("steps", names, [step.name for step in ours.steps])
    for one, other in zip(reference.steps, ours.steps, strict=False):
        yield from _step(one, other, listed.get(one.name, ()))
    for name in sorted({*reference.properties, *ours.properties}):
        yield from _value(f"property {name}", reference.properties.get(name), ours.properties.get(name))


def _step(reference: StepPicture, ours: StepPicture, listed: Sequence[str]) -> Iterator[str]:
    name = reference.name
    shown = set()
    for what in ("result", "state", "hidden", "urls"):
        yield from _value(f"{name}: {what}", getattr(reference, what), getattr(ours, what))
    yield from _value(f"{name}: logs", list(reference.logs), list(ours.logs))
    for log in reference.logs.keys() & ours.logs.keys():
        (one_type, one), (other_type, other) = reference.logs[log], ours.logs[log]
        yield from _value(f"{name}: type of log {log}", one_type, other_type)
        for difference in listed:
            one, other, changed = _equal(difference, one, other)
            if changed:
                shown.add(difference)
        if one != other:
            number = next((n for n, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), None)
            if number is None:
                number = min(len(one), len(other))
            yield (
                f"{name}: log {log} from line {number} on:\n"
                f"    {_some(one, number)}\n    {_some(other, number)}   ({len(one)} and {len(other)} lines)"
            )
    for difference in set(listed) - shown:
        yield f"{name}: listed difference {difference!r} does not show"


def _equal(difference: str, one: Lines, other: Lines) -> tuple[Lines, Lines, bool]:
    equal = DIFFERENCES[difference].equal
    assert equal is not None, f"{difference} does not show in logs"
    if one == other:
        return one, other, False
    return equal(one), equal(other), True


def _value(what: str, reference: object, ours: object) -> Iterator[str]:
    if reference != ours:
        yield f"{what}: {reference!r} with Buildbot's worker, {ours!r} with an agent"


def _some(lines: tuple[str, ...], number: int) -> str:
    return repr([line[:200] for line in lines[number : number + 4]])
