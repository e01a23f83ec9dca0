"""When each step of a pipeline starts: lines and ends of steps in, starts and skips out. Pure.

Steps that work in the build's own folder run one after the other, in the order of their lines, so that a build that
starts over after its master's death asks its agent for the same commands in the same order, and is answered from the
journal. All others start as soon as what they need has ended well, at most `side_by_side` at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Union

from contracts.pipeline.lines import WaitLine
from contracts.pipeline.script import Entry


@dataclass(frozen=True, kw_only=True)
class StartStep:
    """Its step is to start now."""

    entry: Entry


@dataclass(frozen=True, kw_only=True)
class SkipStep:
    """Its step will not run, for `reason`."""

    entry: Entry
    reason: str


Move = Union[StartStep, SkipStep]


class StepState(Enum):
    """What became of a line's step."""

    WAITING = auto()
    RUNNING = auto()
    GOOD = auto()
    BAD = auto()
    SKIPPED = auto()


@dataclass
class _Stage:
    """The steps between two `wait` lines."""

    #: does a failure before it not matter?
    forgives: bool = True
    #: steps that have not ended
    left: int = 0
    in_order: deque[_Place] = field(default_factory=deque)
    #: the last that was added to `in_order`
    last: _Place | None = None
    #: of the others, those that need nothing more
    ready: deque[_Place] = field(default_factory=deque)


@dataclass(eq=False)
class _Place:
    """One step."""

    entry: Entry
    stage: _Stage
    state: StepState = StepState.WAITING
    #: steps that it needs and that have not ended
    open: int = 0
    #: why it cannot run any more
    reason: str | None = None
    dependents: list[_Place] = field(default_factory=list)


class StepOrder:
    """The order of one program's steps. Every method returns what is to be done now, in this order."""

    def __init__(self, *, side_by_side: int) -> None:
        self._side_by_side = side_by_side
        self._places: dict[str, _Place] = {}
        self._stages: deque[_Stage] = deque([_Stage()])
        self._failed = False
        #: how many run beside others, and whether one of those in order runs
        self._beside = 0
        self._one_runs = False
        self._stopped: str | None = None

    @property
    def idle(self) -> bool:
        """Has every step ended that was added?"""
        return not any(stage.left for stage in self._stages)

    def state(self, name: str) -> StepState:
        return self._places[name].state

    def add(self, entry: Entry) -> list[Move]:
        """The next line. Only steps and `wait` concern the order."""
        if isinstance(entry.line, WaitLine):
            self._stages.append(_Stage(forgives=entry.line.continue_on_failure))
        elif entry.name:
            self._add_step(entry)
        return list(self._advance())

    def ended(self, name: str, *, good: bool) -> list[Move]:
        """The step that was started has ended."""
        place = self._places[name]
        if place.entry.in_order:
            self._one_runs = False
        else:
            self._beside -= 1
        self._settle(place, StepState.GOOD if good else StepState.BAD)
        return list(self._advance())

    def stop(self, reason: str) -> list[Move]:
        """Skip all that has not started, and all that is added from now on."""
        self._stopped = reason
        return list(self._advance())

    def _add_step(self, entry: Entry) -> None:
        stage = self._stages[-1]
        place = self._places[entry.name] = _Place(entry, stage)
        needed = [self._places[name] for name in dict.fromkeys(entry.needs or ())]
        if entry.needs is None and entry.in_order and stage.last is not None:
            needed = [stage.last]
        for each in needed:
            if each.state in (StepState.WAITING, StepState.RUNNING):
                place.open += 1
                each.dependents.append(place)
            elif each.state is not StepState.GOOD:
                _cannot(place, each)
        stage.left += 1
        if entry.in_order:
            stage.in_order.append(place)
            stage.last = place
        elif not place.open:
            stage.ready.append(place)

    def _advance(self) -> Iterator[Move]:
        while True:
            stage = self._stages[0]
            yield from self._advance_in(stage)
            if stage.left or len(self._stages) == 1:
                return
            self._stages.popleft()
            if self._failed and not self._stages[0].forgives:
                self._stopped = self._stopped or "a step before `wait` has failed"

    def _advance_in(self, stage: _Stage) -> Iterator[Move]:
        """All that can start or be skipped in the stage whose turn it is."""
        moved = True
        while moved:
            moved = False
            while stage.in_order and (self._stopped or not (self._one_runs or stage.in_order[0].open)):
                yield self._begin(stage.in_order.popleft())
            while stage.ready and (self._beside < self._side_by_side or self._skips(stage.ready[0])):
                moved = True
                yield self._begin(stage.ready.popleft())

    def _skips(self, place: _Place) -> bool:
        return (self._stopped or place.reason) is not None

    def _begin(self, place: _Place) -> Move:
        reason = self._stopped or place.reason
        if reason is not None:
            self._settle(place, StepState.SKIPPED)
            return SkipStep(entry=place.entry, reason=reason)
        place.state = StepState.RUNNING
        if place.entry.in_order:
            self._one_runs = True
        else:
            self._beside += 1
        return StartStep(entry=place.entry)

    def _settle(self, place: _Place, state: StepState) -> None:
        """It has ended, so: those that needed it come nearer to their start, or cannot start any more."""
        place.state = state
        place.stage.left -= 1
        self._failed = self._failed or state is not StepState.GOOD
        for each in place.dependents:
            each.open -= 1
            if state is not StepState.GOOD:
                _cannot(each, place)
            if not each.open and not each.entry.in_order:
                each.stage.ready.append(each)
        place.dependents.clear()


def _cannot(place: _Place, needed: _Place) -> None:
    """`place` needs `needed`, which has not ended well; the first reason is told."""
    what = "was skipped" if needed.state is StepState.SKIPPED else "has failed"
    place.reason = place.reason or f"it needs `{needed.entry.name}`, which {what}"
