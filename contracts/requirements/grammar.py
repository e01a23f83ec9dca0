"""The text of requirements, read with an eye on each character: an error points at the one that is wrong.

    list        = requirement { separator requirement }     separator: space, ';', ',' or '+' before a letter
    requirement = term { "|" term }
    term        = name [ clause { "," clause } ]
    clause      = ( "==" | "!=" | ">=" | "<=" | ">" | "<" | "~=" ) version
    name        = a letter, then letters, digits, '.', '_', '-', '+'; ends in a letter, a digit or '+'
    version     = a letter or digit, then also '.', '_', ':', '!', '-', '+'; ends in one, or is a series 2.3.*

A '+' before a letter joins requirements, so it is in no name (g++, gtk+-3.0 are names, c++filt is not) and is written
%2b in a version. A signature is such a list, in normal form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from contracts.errors import BadRequirement
from contracts.requirements.terms import ANY, OPERATORS, Clause, Requirement, Term, normal_name
from contracts.requirements.versions import VERSION, compatible_series, parse_version, spelled

NAME = re.compile(r"[A-Za-z](?:[A-Za-z0-9._-]|\+(?![A-Za-z]))*")
_VERSION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:!-]|\+(?![A-Za-z])|%2b)*", re.IGNORECASE)
_NUMBERS = re.compile(r"[0-9]+(?:\.[0-9]+)*")
#: As in `contracts.requirements.versions`: a lone letter must be a capital.
_UNIT = re.compile(r"(?:[KMGTkmgt](?:[Ii]?[Bb]|[Ii])|[KMGT])(?![A-Za-z0-9._+-])")
_SPACE = re.compile(r"[ \t\r\n]*")
#: Characters of one text. It ends up in a queue's name, of 244 bytes; and Python reads no number of over 4,300 digits.
TEXT_MAX = 4_000


class TextReader:
    """Reads one text, and knows the character at which it fails."""

    def __init__(self, text: str) -> None:
        """Raises `BadRequirement`: it is longer than any requirement."""
        if len(text) > TEXT_MAX:
            raise BadRequirement(
                f"bad requirement: {len(text)} characters, at most {TEXT_MAX} can be read:\n  {text[:100]}…\n"
                "ask for less"
            )
        self.text = text
        self.at = 0
        #: where the second requirement of the text begins
        self.second = 0
        #: whether what was read last is a version
        self.after_version = False

    def error(self, at: int, problem: str, remedy: str) -> BadRequirement:
        """What is wrong at character `at`, shown below the text, and what to write instead."""
        shown = "".join(" " if character in "\t\r\n" else character for character in self.text)
        return BadRequirement(f"bad requirement: {problem}\n  {shown}\n  {' ' * at}^\n{remedy}")

    def read_list(self) -> Iterator[Requirement]:
        """The requirements of a list, in order. Raises `BadRequirement`."""
        self._space()
        if self.at == len(self.text):
            raise self.error(self.at, "it is empty", f"write the name of a capability, or {ANY!r} for every agent")
        yield self._requirement()
        while self._separator():
            self.second = self.second or self.at
            yield self._requirement()

    def _space(self) -> None:
        match = _SPACE.match(self.text, self.at)
        assert match is not None
        self.at = match.end()

    def _take(self, *words: str) -> str | None:
        for word in words:
            if self.text.startswith(word, self.at):
                self.at += len(word)
                return word
        return None

    def _separator(self) -> bool:
        """Step over what stands between two requirements; False at the end of the text."""
        before = self.at
        self._space()
        if self.at == len(self.text):
            return False
        if self.after_version and self.text[self.at] == "+" and self.at == before:
            self._unexpected()
        sign = self._take(";", ",", "+")
        self._space()
        unit = _UNIT.match(self.text, self.at) if sign is None and self.after_version else None
        if unit is not None and self.text[before - 1].isdigit():
            raise self.error(before, "a size has no space in it", f"write the number and {unit[0]} in one, as in 8GiB")
        if sign is None and self.at == before:
            self._unexpected()
        return sign in (None, "+") or self.at < len(self.text)

    def _unexpected(self) -> None:
        character = self.text[self.at]
        if character == "=":
            raise self.error(
                self.at, "'=' alone is no comparison", "write '==' for exactly this version, '>=' for this or newer"
            )
        if character == "+":
            raise self.error(
                self.at,
                "is this '+' part of the version, or does it join two requirements?",
                "separate requirements by a space; write %2b for a '+' before a letter inside a version",
            )
        if character == "*":
            raise self.error(
                self.at, "'*' does not belong here", "a series is written ==2.3.* (with == or !=, numbers, then .*)"
            )
        raise self.error(
            self.at,
            f"{character!r} does not belong here",
            "after a name come comparisons (>=3,<4), '|' and an alternative, or a space and the next requirement",
        )

    def _requirement(self) -> Requirement:
        start = self.at
        terms = {self._term()}
        alternatives = False
        while True:
            before = self.at
            self._space()
            if not self._take("|"):
                self.at = before
                break
            alternatives = True
            self._space()
            terms.add(self._term())
        if alternatives and any(term.name == ANY for term in terms):
            raise self.error(
                start, f"{ANY!r} cannot be an alternative", "leave the requirement out: every agent meets it"
            )
        return Requirement(terms=tuple(sorted(terms, key=str)))

    def _term(self) -> Term:
        start = self.at
        match = NAME.match(self.text, self.at)
        if match is None:
            here = repr(self.text[self.at]) if self.at < len(self.text) else "the end"
            raise self.error(
                self.at,
                f"a name was expected, here is {here}",
                "names begin with a letter (python2.3, not 'python 2.3'); versions follow a comparison (gtk>=3)",
            )
        if match[0][-1] in ".-_":
            raise self.error(match.end() - 1, "a name cannot end here", "names end in a letter, a digit or '+'")
        self.at = match.end()
        self.after_version = False
        name = normal_name(match[0])
        clauses: list[Clause] = []
        while (clause := self._clause(first=not clauses)) is not None:
            clauses.append(clause)
        if name == ANY and clauses:
            raise self.error(start, f"{ANY!r} stands for every agent and has no version", "leave the comparison out")
        return Term.of(name, clauses)

    def _clause(self, *, first: bool) -> Clause | None:
        before = self.at
        self._space()
        if not first:
            if not self._take(","):
                self.at = before
                return None
            self._space()
        place = self.at
        operator = self._take(*OPERATORS)
        if operator is None:
            self.at = before
            return None
        if self._take("="):
            raise self.error(self.at - 1, f"{operator + '='!r} is no comparison", f"write {operator!r}")
        self._space()
        return Clause(operator=operator, version=self._version(operator, place))

    def _version(self, operator: str, place: int) -> str:
        start = self.at
        match = _VERSION.match(self.text, self.at)
        if match is None:
            here = repr(self.text[self.at]) if self.at < len(self.text) else "the end"
            raise self.error(
                self.at,
                f"a version was expected after {operator!r}, here is {here}",
                f"write one, as in gtk{operator}3.24",
            )
        self.at = match.end()
        self.after_version = True
        version = match[0]
        if self.text.startswith("*", self.at) and version.endswith("."):
            self.at += 1
            if operator not in ("==", "!="):
                raise self.error(
                    self.at - 1, f"a series cannot follow {operator!r}", "use it with == or !=, or leave '.*' out"
                )
            if not _NUMBERS.fullmatch(version[:-1]):
                raise self.error(start, "a series is made of numbers", "write it as 2.3.*")
            return version + "*"
        if version[-1] in ".-_:!+":
            raise self.error(self.at - 1, "a version cannot end here", "versions end in a letter or a digit")
        version = spelled(re.sub("%2b", "+", version, flags=re.IGNORECASE))
        if operator == "~=" and (parse_version(version).kind != VERSION or compatible_series(version) is None):
            raise self.error(
                place, "'~=' needs a version of at least two numbers", "write ~=3.9 (3.9 or newer, below 4), or use >="
            )
        return version
