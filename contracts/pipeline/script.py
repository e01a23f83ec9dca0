"""A program's lines, one after the other: numbered, named, and held against what this builder's pipelines may do.

The step on the master and `master-bridge pipeline check` read by this class alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from contracts.errors import BadRequirement, ContractError
from contracts.pipeline.lines import (
    LINES_MAX,
    MODELS,
    PROPERTIES_MAX,
    STEPS_MAX,
    BatteryLine,
    PipelineLine,
    ProgramLine,
    PropertyLine,
    RunLine,
    StepLine,
    TriggerLine,
    UploadLine,
    VersionLine,
    kind_of,
)
from contracts.pipeline.reading import BadLine, near_miss, read
from contracts.requirements.sets import ANY, Requirements

#: What lines may be where a builder's configuration says nothing: what its own steps could do on its own worker.
HARMLESS = ("run", "wait", "pipeline")
#: Pipelines in one another.
NESTED_MAX = 10


class BadPipeline(ContractError):
    """A line cannot be taken; the message names line, field and remedy."""


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """What the lines of a builder's pipelines may ask for. The repository has no say in it."""

    #: types of lines
    types: frozenset[str] = frozenset(HARMLESS)
    #: names of capabilities, `ANY` for agents of which nothing is asked; None: whatever there is
    requirements: frozenset[str] | None = frozenset()
    #: names of Triggerable schedulers; None: whatever there is
    schedulers: frozenset[str] | None = frozenset()

    @classmethod
    def everything(cls) -> Allowed:
        return cls(types=frozenset(MODELS), requirements=None, schedulers=None)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line as it was taken."""

    #: of the line in its program's output, from 1 on
    number: int
    line: PipelineLine
    #: of its step; "" for what makes none
    name: str = ""
    needs: tuple[str, ...] | None = None

    @property
    def in_order(self) -> bool:
        """Does it run one after the other with its like, with the build's own folder or on the master?"""
        return isinstance(self.line, (BatteryLine, UploadLine, ProgramLine, TriggerLine)) or (
            isinstance(self.line, RunLine) and self.line.requires is None
        )


@dataclass
class Budget:
    """Steps that a build's pipelines may still make; nested pipelines share their parent's."""

    left: int = STEPS_MAX


@dataclass
class Script:
    """The lines of one program."""

    allowed: Allowed
    budget: Budget = field(default_factory=Budget)
    #: how many pipelines it runs within
    depth: int = 0
    lines: int = 0
    #: names of steps -> number of its line, in order
    names: dict[str, int] = field(default_factory=dict)
    properties: set[str] = field(default_factory=set)

    def take(self, text: str) -> Entry | None:
        """The next line, without its line end; None for an empty one.

        Raises `BadPipeline`; nothing of that line counts then.
        """
        self.lines += 1
        if not text.strip():
            return None
        try:
            if self.lines > LINES_MAX:
                raise BadLine(f"a program says at most {LINES_MAX} lines: let one command do more")
            return self._entry(read(text))
        except BadLine as error:
            raise BadPipeline(f"line {self.lines}: {error}") from None

    def _entry(self, line: PipelineLine) -> Entry:
        self._check_allowed(line)
        if isinstance(line, VersionLine) and self.lines > 1:
            raise BadLine("`version` is only understood in the first line: move it there")
        if isinstance(line, PropertyLine):
            self.properties.add(line.property)
            if len(self.properties) > PROPERTIES_MAX:
                raise BadLine(f"a program sets at most {PROPERTIES_MAX} properties: put what is more into a file")
        if not isinstance(line, StepLine):
            return Entry(number=self.lines, line=line)
        name = line.name or f"{kind_of(line)} {self.lines}"
        if name in self.names:
            raise BadLine(f"field `name`: line {self.names[name]} is called `{name}`, too: give each step its own name")
        for need in line.needs or ():
            if need not in self.names:
                near = near_miss(need, self.names)
                raise BadLine(
                    f"field `needs`: no step before this line is called `{need}`"
                    + (f", did you mean `{near}`?" if near else "")
                    + ": name a step of an earlier line"
                )
        if self.budget.left <= 0:
            raise BadLine(f"a build has at most {STEPS_MAX} such steps: let one command do more")
        self.budget.left -= 1
        self.names[name] = self.lines
        return Entry(number=self.lines, line=line, name=name, needs=line.needs)

    def _check_allowed(self, line: PipelineLine) -> None:
        kind = kind_of(line)
        if kind != "version" and kind not in self.allowed.types:
            raise BadLine(
                f"field `type`: pipelines of this builder may not say `{kind}`, they may say "
                f"{_listed(self.allowed.types)}: leave it out, or have whoever configures the builder add it to `allow`"
            )
        if isinstance(line, ProgramLine) and self.depth >= NESTED_MAX:
            raise BadLine(f"pipelines are more than {NESTED_MAX} in one another: say the lines in one of them")
        if isinstance(line, (RunLine, BatteryLine)) and line.requires is not None:
            self._check_requirements(line.requires)
        known = self.allowed.schedulers
        if isinstance(line, TriggerLine) and known is not None and line.scheduler not in known:
            near = near_miss(line.scheduler, known)
            raise BadLine(
                f"field `scheduler`: pipelines of this builder may not start `{line.scheduler[:80]}`"
                + (f", did you mean `{near}`?" if near else "")
                + f"; they may start {_listed(known)}: have whoever configures the builder add it to `schedulers`"
            )

    def _check_requirements(self, texts: Iterable[str]) -> None:
        try:
            wanted = Requirements.of(texts)
        except BadRequirement as error:
            problem, *_, remedy = str(error).splitlines()
            raise BadLine(f"field `requires`: {problem.removeprefix('bad requirement: ')}: {remedy}") from None
        known = self.allowed.requirements
        if known is None:
            return
        if not wanted.items and ANY not in known:
            raise BadLine(
                "field `requires`: pipelines of this builder may not take any agent, they may ask for "
                f"{_listed(known)}: have whoever configures the builder add `{ANY}` to `may_require`"
            )
        for item in wanted.items:
            for term in item.terms:
                if not known.intersection(term.names):
                    raise BadLine(
                        f"field `requires`: pipelines of this builder may not ask for `{term.name}`, they may ask for "
                        f"{_listed(known)}: leave it out, or have whoever configures the builder add it to "
                        "`may_require`"
                    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names)) or "nothing"
