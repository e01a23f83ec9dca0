"""A requirement: what an agent must or should do, and the function that finds out whether it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from conformance.stage import Stage

Level = Literal["must", "should"]
Check = Callable[[Stage], None]


@dataclass(frozen=True, kw_only=True)
class ProtocolRequirement:
    """One requirement of the protocol, and one line of the report."""

    #: stable, for programs: "events.window"
    id: str
    level: Level
    #: what a conforming agent does, one sentence
    text: str
    #: of docs/protocol.md: a rule's number, or the section's name
    rule: str
    #: raises `errors.Violated`
    check: Check
    #: it needs an agent of its own, because it ends it
    own_worker: bool = False


class Topic:
    """The requirements of one topic, in the order in which they are checked. Used as a decorator."""

    def __init__(self) -> None:
        self.requirements: list[ProtocolRequirement] = []

    def __call__(
        self, id: str, text: str, *, rule: int | str, level: Level = "must", own_worker: bool = False
    ) -> Callable[[Check], Check]:
        def add(check: Check) -> Check:
            self.requirements.append(
                ProtocolRequirement(id=id, level=level, text=text, rule=str(rule), check=check, own_worker=own_worker)
            )
            return check

        return add
