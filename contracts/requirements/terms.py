"""The parts of a requirement: comparisons, terms, alternatives; what each means for one capability.

The grammar is in `contracts.requirements.grammar`, sets and their signatures are in `contracts.requirements`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from contracts.messages import Capability
from contracts.requirements.versions import compare, compatible_series, in_series, sort_key

#: The name of no requirement at all: every agent qualifies.
ANY = "any"
#: Longer ones first, as they are read.
OPERATORS = ("==", "!=", ">=", "<=", "~=", ">", "<")

_SERIES = re.compile(r"(.*[a-z+])([0-9]+(?:\.[0-9]+)*)")
_JOIN = re.compile(r"\+(?=[a-z])")


@lru_cache(maxsize=8_192)  # of capabilities: each is compared with each requirement, over and over
def normal_name(name: str) -> str:
    """The form in which names are compared: lower case, '_' as '-', and no '+' before a letter."""
    return re.sub(r"\+(?=[a-z])", "+-", name.strip().lower().replace("_", "-"))


def split_series(name: str) -> tuple[str, str] | None:
    """`python2.3` as (`python`, `2.3`); None for a name without digits at its end, or with a '-' before them."""
    match = _SERIES.fullmatch(name)
    return (match[1], match[2]) if match else None


@dataclass(frozen=True, kw_only=True)
class Clause:
    """One comparison. `version` of a series (`==2.3.*`) keeps its `.*`."""

    operator: str
    version: str

    def __str__(self) -> str:
        return self.operator + _JOIN.sub("%2b", self.version)

    def allows(self, version: str) -> bool:
        """Is `version` one that this clause asks for?"""
        if self.operator in ("==", "!=") and self.version.endswith(".*"):
            return in_series(version, self.version[:-2]) == (self.operator == "==")
        order = compare(version, self.version)
        if self.operator == "~=":
            return order >= 0 and in_series(version, compatible_series(self.version) or "")
        return {
            "==": order == 0,
            "!=": order != 0,
            ">=": order >= 0,
            "<=": order <= 0,
            ">": order > 0,
            "<": order < 0,
        }[self.operator]

    def _order(self) -> tuple[object, ...]:
        return (sort_key(self.version.removesuffix(".*")), self.version, OPERATORS.index(self.operator))


@dataclass(frozen=True, kw_only=True)
class Term:
    """A name and what its version must meet; nothing to meet means: just be there, version known or not."""

    name: str
    clauses: tuple[Clause, ...] = ()

    def __str__(self) -> str:
        return self.name + ",".join(str(clause) for clause in self.clauses)

    @classmethod
    def of(cls, name: str, clauses: Iterable[Clause]) -> Term:
        """The normal form: `python==2.3.*` is written `python2.3`; clauses are sorted, each is there once."""
        unique = sorted(set(clauses), key=Clause._order)
        if not name[-1].isdigit():
            series = [clause for clause in unique if clause.operator == "==" and clause.version.endswith(".*")]
            if series:
                chosen = max(series, key=lambda clause: (clause.version.count("."), clause._order()))
                unique.remove(chosen)
                name += chosen.version[:-2]
        return cls(name=name, clauses=tuple(unique))

    def met_by(self, capability: Capability, general: tuple[Clause, ...] = ()) -> bool:
        """Whether `capability` is this. `general`: what else the set asks of the name without its series."""
        name = normal_name(capability.name)
        if name == self.name and allowed(capability.version, self.clauses):
            return True
        split = split_series(self.name)
        if split is None or name != split[0] or capability.version is None:
            return False
        return in_series(capability.version, split[1]) and allowed(capability.version, (*self.clauses, *general))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of capabilities that can meet it."""
        split = split_series(self.name)
        return (self.name,) if split is None else (self.name, split[0])


def allowed(version: str | None, clauses: Iterable[Clause]) -> bool:
    """Is `version` one that all of them ask for? None, a version that nobody knows, is none."""
    return all(version is not None and clause.allows(version) for clause in clauses)


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """One requirement: any of its terms is enough. Terms are sorted, each is there once."""

    terms: tuple[Term, ...]

    def __str__(self) -> str:
        return "|".join(str(term) for term in self.terms)

    def satisfied_by(self, capabilities: Iterable[Capability]) -> bool:
        """Does one of these capabilities meet one of its terms?"""
        capabilities = tuple(capabilities)
        return any(term.met_by(capability) for term in self.terms for capability in capabilities)
