"""What the kit found, as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from conformance.requirement import ProtocolRequirement
from contracts.messages import Message

#: Characters of a message that the table shows.
_SHOWN = 300


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one check found; `seconds` is how long it took."""

    requirement: ProtocolRequirement
    outcome: Literal["pass", "fail"]
    #: for a failure: what happened, and the message that shows it
    what: str = ""
    message: Message | None = None
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """The agent does what is required."""
        return self.outcome == "pass"

    def as_json(self) -> dict[str, Any]:
        """One entry of the report's "requirements"."""
        requirement = self.requirement
        shown: dict[str, Any] = {
            "id": requirement.id, "level": requirement.level, "rule": requirement.rule, "text": requirement.text,
            "outcome": self.outcome, "seconds": round(self.seconds, 3),
        }  # fmt: skip
        if not self.passed:
            shown |= {"what": self.what, "message": None if self.message is None else _fields(self.message)}
        return shown


@dataclass(frozen=True, kw_only=True)
class Report:
    """The results of one run of the kit, and the broker's product and version."""

    results: tuple[Result, ...]
    broker: str

    def failed(self, level: str) -> tuple[Result, ...]:
        """Requirements of this level that the agent does not meet."""
        return tuple(r for r in self.results if not r.passed and r.requirement.level == level)

    @property
    def conforms(self) -> bool:
        """All that an agent must do, it does."""
        return not self.failed("must")

    def summary(self) -> str:
        """One line: how many of each level passed, and the verdict."""
        parts = []
        for level in ("must", "should"):
            all_of_it = [result for result in self.results if result.requirement.level == level]
            passed = sum(result.passed for result in all_of_it)
            parts.append(f"{level} {passed}/{len(all_of_it)}")
        verdict = "conforms" if self.conforms else "does not conform"
        return f"{', '.join(parts)}: {verdict} ({self.broker})"

    def as_json(self) -> str:
        """The whole report for programs; its schema is stable."""
        document = {
            "broker": self.broker,
            "conforms": self.conforms,
            "must_failed": len(self.failed("must")),
            "should_failed": len(self.failed("should")),
            "requirements": [result.as_json() for result in self.results],
        }
        return json.dumps(document, indent=2)

    def as_table(self) -> str:
        """The whole report for people: a line for each requirement, then the summary."""
        return "\n".join([*(line_of(result) for result in self.results), "", self.summary()])


def line_of(result: Result) -> str:
    """One requirement; a failure has lines below it that say what happened."""
    requirement = result.requirement
    rule = f"rule {requirement.rule}" if requirement.rule.isdigit() else requirement.rule
    mark = "pass" if result.passed else "FAIL"
    line = f"{mark}  {requirement.level:<6}  {requirement.id:<30}  {requirement.text} [{rule}]"
    if not result.passed:
        line += f"\n      {result.what}"
        if result.message is not None:
            line += f"\n      {json.dumps(_fields(result.message))[:_SHOWN]}"
    return line


def _fields(message: Message) -> dict[str, Any]:
    """The message's JSON; of bulk data only its length."""
    fields = message.model_dump(mode="json", exclude_none=True)
    data = getattr(message, "data", b"")
    if data:
        fields["(bytes of data)"] = len(data)
    return fields
