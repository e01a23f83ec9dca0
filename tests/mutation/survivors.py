"""Changes that no test noticed, beside those that are explained."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

EXPLAINED = Path(__file__).with_name("survivors.txt")
#: What mutmut says of a change that tests ran on and let pass, and of one of a function that no test runs.
SURVIVED, UNRUN = "survived", "no tests"
UNNOTICED = (SURVIVED, UNRUN)
UNTRIED = "not checked"
#: Its tests did not come to an end.
TIMEOUT = "timeout"
#: Of the table that is printed.
COLUMNS = ("changes", "tried", "killed", "timed out", "explained", "survived", "no test")

#: `module.xǁClassǁmethod__mutmut_7` or `module.x_function__mutmut_7`
_MUTANT = re.compile(r"^(.*\.)x(?:ǁ(\w+)ǁ|_)(\w+?)__mutmut_\d+$")


def function_of(mutant: str) -> str:
    """`contracts.trust.tickets.Tickets.for_offer`."""
    match = _MUTANT.match(mutant)
    if match is None:
        raise ValueError(f"{mutant!r} is not a name of mutmut's")
    module, owner, function = match.groups()
    return f"{module}{owner + '.' if owner else ''}{function}"


def change_of(mutant: str, diff: str) -> str:
    """One line that stays the same while the function does not change: its name, the old text and the new."""
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++", "#", "@@"))]
    old, new = (" ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
    return f"{function_of(mutant)}: {old} → {new}"


def explained(text: str) -> dict[str, str]:
    """`survivors.txt`: a change in one line, its reason in the next, indented. Raises ValueError where one has none."""
    found: dict[str, str] = {}
    change = ""
    for line in text.splitlines():
        if line.startswith("    ") and change:
            found[change] = f"{found.get(change, '')} {line.strip()}".strip()
        elif line.strip() and not line.startswith("#"):
            change = line.strip()
            found[change] = ""
    without = [change for change, reason in found.items() if not reason]
    if without:
        raise ValueError(f"{EXPLAINED.name}: no reason below {without[0]!r}")
    return found


@dataclass(kw_only=True)
class Area:
    """One folder's changes, in numbers. `killed`: a test failed; `timeout`: one did not come to an end."""

    killed: int = 0
    timeout: int = 0
    explained: int = 0
    survived: int = 0
    unrun: int = 0
    untried: int = 0

    @property
    def tried(self) -> int:
        return self.killed + self.timeout + self.explained + self.survived + self.unrun

    def figures(self) -> tuple[int, ...]:
        """As `COLUMNS` names them."""
        return (
            self.tried + self.untried,
            self.tried,
            self.killed,
            self.timeout,
            self.explained,
            self.survived,
            self.unrun,
        )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Of one run."""

    #: by folder
    areas: dict[str, Area]
    #: changes that no test noticed and nobody explained
    new: tuple[str, ...]
    #: functions that no test runs, and nobody explained
    unrun: tuple[str, ...]
    #: explained ones that a test notices now
    killed_since: tuple[str, ...]

    def lines(self) -> Iterable[str]:
        """A table, and what is to be done."""
        yield f"{'':30}" + "".join(f"{column:>11}" for column in COLUMNS)
        for name, area in sorted(self.areas.items()):
            yield f"{name:30}" + "".join(f"{figure:11}" for figure in area.figures())
        for change in self.new:
            yield f"no test noticed: {change}"
        for function in self.unrun:
            yield f"no test runs: {function}"
        for change in self.killed_since:
            yield f"a test notices it now, take it out of {EXPLAINED.name}: {change}"


def judge(statuses: Mapping[str, str], survivors: Mapping[str, str], known: Mapping[str, str]) -> Verdict:
    """Each mutant beside `known`, the explained ones.

    `statuses`: name of a mutant -> mutmut's; `survivors`: that of one that no test noticed -> its `change_of`.
    """
    areas: defaultdict[str, Area] = defaultdict(Area)
    survived: set[str] = set()
    unrun: set[str] = set()
    for mutant, status in statuses.items():
        area, told = areas[_folder(mutant)], function_of(mutant)
        if status == UNTRIED:
            area.untried += 1
        elif status == TIMEOUT:
            area.timeout += 1
        elif status not in UNNOTICED:
            area.killed += 1
        else:
            if status == SURVIVED:
                told = survivors[mutant]
            (survived if status == SURVIVED else unrun).add(told)
            if told in known:
                area.explained += 1
            elif status == SURVIVED:
                area.survived += 1
            else:
                area.unrun += 1
    functions = {function_of(mutant) for mutant in statuses}
    whole = functions - {function_of(mutant) for mutant, status in statuses.items() if status == UNTRIED}
    return Verdict(
        areas=dict(areas),
        new=tuple(sorted(survived - known.keys())),
        unrun=tuple(sorted(unrun - known.keys())),
        killed_since=tuple(
            sorted(each for each in known if each not in survived | unrun and each.split(": ")[0] in whole)
        ),
    )


def _folder(mutant: str) -> str:
    """Of its module."""
    module = mutant.rpartition(".")[0]
    return module.rpartition(".")[0].replace(".", "/")
