"""All problems of a program's lines at once, for whoever writes the program."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from contracts.pipeline.lines import MODELS
from contracts.pipeline.script import Allowed, BadPipeline, Script

#: Problems after which the rest is not looked at.
PROBLEMS_MAX = 100


@dataclass
class Checked:
    """What was found. The step on a master stops at the first problem."""

    lines: int = 0
    steps: int = 0
    problems: list[str] = field(default_factory=list)


def check(
    texts: Iterable[str],
    *,
    types: frozenset[str] | None = None,
    requirements: frozenset[str] | None = None,
    schedulers: frozenset[str] | None = None,
) -> Checked:
    """Read all lines as the step would. `types`, `requirements`, `schedulers`: as in `Allowed`; None: any."""
    types = frozenset(MODELS) if types is None else types
    script = Script(Allowed(types=types, requirements=requirements, schedulers=schedulers))
    found = Checked()
    for text in texts:
        found.lines += 1
        try:
            entry = script.take(text.removesuffix("\n"))
        except BadPipeline as problem:
            found.problems.append(str(problem))
            if len(found.problems) == PROBLEMS_MAX:
                break
            continue
        found.steps += bool(entry is not None and entry.name)
    return found
