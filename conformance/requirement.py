"""A requirement: what a worker must or should do, and the function that finds out whether it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from contracts.messages import Message

if TYPE_CHECKING:
    from conformance.stage import Stage

Level = Literal["must", "should"]
Check = Callable[["Stage"], None]


class Violated(Exception):
    """The worker broke a requirement: what happened, and the message that shows it, where there is one."""

    def __init__(self, what: str, message: Message | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.message = message


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """One line of the report."""

    #: stable, for programs: "events.window"
    id: str
    level: Level
    #: what a conforming worker does, one sentence
    text: str
    #: of docs/protocol.md: a rule's number, or the section's name
    rule: str
    #: raises `Violated`
    check: Check
    #: it needs a worker of its own, because it ends it
    own_worker: bool = False


class Catalogue:
    """The requirements of one topic, in the order in which they are checked. Used as a decorator."""

    def __init__(self) -> None:
        self.requirements: list[Requirement] = []

    def __call__(
        self, id: str, text: str, *, rule: int | str, level: Level = "must", own_worker: bool = False
    ) -> Callable[[Check], Check]:
        def add(check: Check) -> Check:
            self.requirements.append(
                Requirement(id=id, level=level, text=text, rule=str(rule), check=check, own_worker=own_worker)
            )
            return check

        return add


def expect(condition: object, what: str, message: Message | None = None) -> None:
    """Raise `Violated` with `what` unless `condition` holds."""
    if not condition:
        raise Violated(what, message)
