"""`util.Units`: where a shard's units stand in a battery's command."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from buildbot.util import ComparableMixin

from master_bridge.core.battery.bounds import UNITS_MAX, wrong_unit


class Units(ComparableMixin):
    """Stands for a shard's units in the command of a `Battery`.

    Alone it stands for one argument for each unit. With `join` all of them are one argument, as for tools that choose
    tests by a pattern: `Units(join="|", escape=True, template="^({})$")` for `ctest -R` or `go test -run`.

    Args:
        join (text): What stands between two units of one argument. Default: each unit is an argument of its own.
        escape (True or False): Escape what means something in a regular expression.
        template (text with "{}"): What is around each argument; "{}" stands for the unit, or for all of them joined.
    """

    compare_attrs = ("join", "escape", "template")

    def __init__(self, *, join: str | None = None, escape: bool = False, template: str = "{}") -> None:
        if "{}" not in template:
            raise ValueError(f"util.Units: template: a text with {{}} where the units belong, not {template!r}")
        self.join = join
        self.escape = escape
        self.template = template

    def arguments(self, units: Sequence[str]) -> list[str]:
        """What takes its place."""
        texts = [re.escape(unit) for unit in units] if self.escape else list(units)
        if self.join is not None:
            texts = [self.join.join(texts)]
        return [self.template.replace("{}", text) for text in texts]


def has_units(command: Any) -> bool:
    """Is there a place for them in this command, which may not be rendered yet?"""
    if isinstance(command, (list, tuple)):
        return any(has_units(part) for part in command)
    return isinstance(command, Units)


def with_units(command: Sequence[Any], units: Sequence[str]) -> list[Any]:
    """`command`, rendered and flat, with these units in their places."""
    parts: list[Any] = []
    for part in command:
        parts += part.arguments(units) if isinstance(part, Units) else [part]
    return parts


def lines_of(text: str) -> list[str]:
    """A unit a line of what a command printed; lines without text are none.

    Lines end as in a log, and not at whatever Unicode calls a line's end: a test's name may have that.
    """
    return [line for each in text.split("\n") if (line := each.strip(" \t\r"))]


def wrong_units(units: Any) -> str | None:
    """Why these are no battery's units; None: they are."""
    if not isinstance(units, (list, tuple)):
        return f"units: a list of texts, or a command that prints one a line, not {units!r}"[:300]
    if len(units) > UNITS_MAX:
        return f"units: {len(units)}, more than the {UNITS_MAX} that a battery may have"
    return next((problem for unit in units if (problem := wrong_unit(unit)) is not None), None)
