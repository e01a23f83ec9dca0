"""What a column asks of an agent: a set of requirements, its signature (which names a queue), the nearest misses.

A name that ends in digits right after a letter or '+' can be read in two ways, and both count: `python2.3` is a
capability of that very name, or a `python` of the series 2.3; `x264` and `bzip2` are found by the first reading.

Several requirements about one name are one requirement: a single version must meet all of them.
Pure; shared by both sides. For people: docs/requirements.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from contracts.errors import BadRequirement
from contracts.messages import Capability
from contracts.requirements.grammar import NAME, TextReader
from contracts.requirements.terms import ANY, Clause, Requirement, Term, normal_name, split_series
from contracts.requirements.versions import series_of, sort_key
from contracts.topology import cap_queue

__all__ = ["ANY", "QUEUE_NAME_MAX", "Requirement", "Requirements", "normal_name", "parse", "plain_signatures"]

#: AMQP names have at most 255 bytes; some are left for a prefix.
QUEUE_NAME_MAX = 244

#: Characters of texts whose set is remembered.
_REMEMBERED_LENGTH = 1024

_JOIN = re.compile(r"\+(?=[a-z])")


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """A set of requirements in normal form. Equal sets are equal objects and have one signature."""

    items: tuple[Requirement, ...] = ()
    signature: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "signature", "+".join(str(item) for item in self.items) or ANY)

    @classmethod
    def of(cls, texts: Iterable[str]) -> Requirements:
        """The set that `texts` ask for; each may hold several requirements (`"gtk>=3 python2.3"`).

        Raises `BadRequirement` for a text that cannot be read, and for a set whose signature is too long for a queue.
        """
        asked = (texts,) if isinstance(texts, str) else tuple(texts)
        # the thousand places of a column all ask for the same; what is long is not kept, so that the memory is bounded
        return (_read if sum(map(len, asked)) <= _REMEMBERED_LENGTH else _read.__wrapped__)(asked)

    @classmethod
    def from_signature(cls, signature: str) -> Requirements:
        """The set that a signature (a queue's name without `cap.`) stands for; else raises `BadRequirement`."""
        result = cls.of([_JOIN.sub(";", signature)])
        if result.signature != signature:
            raise BadRequirement(
                f"{signature!r} is not a signature: the normal form of this set is {result.signature!r}; "
                "the queue was made by something else than this program"
            )
        return result

    def satisfied_by(self, capabilities: Iterable[Capability]) -> bool:
        """Does an agent with these capabilities meet all of them?"""
        capabilities = tuple(capabilities)
        return all(self._met(item, capabilities) for item in self.items)

    def misses(self, capabilities: Iterable[Capability], *, many: bool = False) -> tuple[str, ...]:
        """What stands between these capabilities and the set, in words: `has gtk 2.24, needs gtk>=3`, `lacks wx`.

        Empty exactly when the set is satisfied. `many`: in the plural, `lack wx`.
        """
        capabilities = tuple(capabilities)
        verbs = ("have", "need", "lack") if many else ("has", "needs", "lacks")
        return tuple(self._miss(item, capabilities, *verbs) for item in self.items if not self._met(item, capabilities))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the capabilities that decide about this set, sorted."""
        return tuple(sorted({name for item in self.items for term in item.terms for name in term.names}))

    def _general(self, item: Requirement, term: Term) -> tuple[Clause, ...]:
        """What the set asks of the term's name without its series (`python>=2.3.5` beside `python2.3`)."""
        split = split_series(term.name)
        if split is None or len(item.terms) > 1:
            return ()
        return next(
            (
                other.terms[0].clauses
                for other in self.items
                if len(other.terms) == 1 and other.terms[0].name == split[0]
            ),
            (),
        )

    def _met(self, item: Requirement, capabilities: tuple[Capability, ...]) -> bool:
        return any(
            term.met_by(capability, self._general(item, term)) for term in item.terms for capability in capabilities
        )

    def _miss(self, item: Requirement, capabilities: tuple[Capability, ...], has: str, needs: str, lacks: str) -> str:
        names = [name for term in item.terms for name in term.names]
        near = sorted(
            {(normal_name(c.name), c.version) for c in capabilities if normal_name(c.name) in names},
            key=lambda found: (names.index(found[0]), found[1] is not None, sort_key(found[1] or "")),
        )
        if not near:
            return f"{lacks} {'|'.join(term.name for term in item.terms)}"
        held: dict[str, list[str]] = {}
        for name, version in near:
            held.setdefault(name, []).append(version or "of unknown version")
        asked = "|".join(str(Term.of(term.name, (*term.clauses, *self._general(item, term)))) for term in item.terms)
        return f"{has} {', '.join(f'{name} ' + ' and '.join(held[name]) for name in held)}, {needs} {asked}"


@lru_cache(maxsize=1024)
def _read(texts: tuple[str, ...]) -> Requirements:
    """Raises `BadRequirement`, which is not remembered."""
    found = [requirement for text in texts for requirement in TextReader(text).read_list()]
    result = Requirements(items=_normalised(found))
    length = len(cap_queue(result.signature).encode())
    if length > QUEUE_NAME_MAX:
        raise BadRequirement(
            f"the requirements need a queue name of {length} bytes, at most {QUEUE_NAME_MAX} fit:\n"
            f"  {result.signature[:100]}…\n"
            "ask for less, or give the agents one fixed capability (capabilities.d) that stands for all of it"
        )
    return result


def parse(text: str) -> Requirement:
    """Read one requirement: `gtk>=3`, `python2.3`, `gcc|clang`. `BadRequirement` points at the character."""
    reader = TextReader(text)
    first, *more = reader.read_list()
    if more:
        raise reader.error(
            reader.second, "a second requirement begins here", "give each requirement as an item of its own"
        )
    return first


def plain_signatures(capabilities: Iterable[Capability]) -> tuple[str, ...]:
    """The signatures that an agent can guess without a master: each name alone, and its series (`python`, `python3`,
    `python3.11`), sorted, and `any`."""
    found = {ANY}
    for capability in capabilities:
        name = normal_name(capability.name)
        if not NAME.fullmatch(name) or name[-1] in ".-":
            continue
        found.add(name)
        if capability.version is not None and not name[-1].isdigit():
            found.update(name + series for depth in (1, 2) if (series := series_of(capability.version, depth)))
    return tuple(sorted(signature for signature in found if len(cap_queue(signature)) <= QUEUE_NAME_MAX))


def _normalised(requirements: Iterable[Requirement]) -> tuple[Requirement, ...]:
    merged: dict[str, list[Clause]] = {}
    alternatives: set[Requirement] = set()
    for requirement in requirements:
        if len(requirement.terms) > 1:
            alternatives.add(requirement)
        elif requirement.terms[0].name != ANY:
            merged.setdefault(requirement.terms[0].name, []).extend(requirement.terms[0].clauses)
    single = {Requirement(terms=(Term.of(name, clauses),)) for name, clauses in merged.items()}
    return tuple(sorted(single | alternatives, key=str))
