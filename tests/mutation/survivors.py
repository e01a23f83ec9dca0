"""Changes that no test noticed, beside those that are explained."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

EXPLAINED = Path(__file__).with_name("survivors.txt")
#: What mutmut says of a change that tests ran on and let pass.
SURVIVED = "survived"

_RESULT = re.compile(r"^\s+(\S+): (.+)$")
#: `module.xǁClassǁmethod__mutmut_7` or `module.x_function__mutmut_7`
_MUTANT = re.compile(r"^(.*\.)x(?:ǁ(\w+)ǁ|_)(\w+?)__mutmut_\d+$")


def results(text: str) -> dict[str, str]:
    """What `mutmut results --all true` prints: name of a mutant -> status."""
    return {match[1]: match[2] for line in text.splitlines() if (match := _RESULT.match(line))}


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


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Of one run."""

    statuses: Counter[str]
    #: changes that no test noticed and nobody explained
    new: tuple[str, ...]
    #: explained ones that a test notices now
    killed_since: tuple[str, ...]

    def lines(self) -> Iterable[str]:
        yield "mutants: " + ", ".join(f"{number} {status}" for status, number in sorted(self.statuses.items()))
        for change in self.new:
            yield f"no test noticed: {change}"
        for change in self.killed_since:
            yield f"a test notices it now, take it out of {EXPLAINED.name}: {change}"


def judge(statuses: dict[str, str], survivors: Iterable[str], known: dict[str, str]) -> Verdict:
    """`survivors`: the changes that survived, as `change_of` writes them."""
    survived = set(survivors)
    looked_at = {function_of(name) for name, status in statuses.items() if status != "not checked"}
    unfinished = {function_of(name) for name, status in statuses.items() if status == "not checked"}
    whole = looked_at - unfinished
    return Verdict(
        statuses=Counter(statuses.values()),
        new=tuple(sorted(survived - known.keys())),
        killed_since=tuple(sorted(each for each in known if each not in survived and each.split(": ")[0] in whole)),
    )
