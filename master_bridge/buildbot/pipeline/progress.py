"""One run of a pipeline: its program's lines come in, its steps start, run and end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from buildbot.process.results import EXCEPTION, FAILURE, SUCCESS, WARNINGS, Results, worst_status
from twisted.internet import defer
from twisted.python import log as twisted_log
from twisted.python.failure import Failure

from contracts.pipeline import lines
from contracts.pipeline.script import Allowed, BadPipeline, Budget, Entry, Script
from master_bridge.buildbot.pipeline.account import Account
from master_bridge.buildbot.pipeline.listening import CUT
from master_bridge.buildbot.pipeline.memory import Memory
from master_bridge.core.pipeline import Move, StartStep, StepOrder


@dataclass(frozen=True)
class Nesting:
    """What a build's pipelines that are in one another share."""

    #: pipelines around this one
    depth: int = 0
    budget: Budget = field(default_factory=Budget)
    #: one after the other: Buildbot looks for a step's number, and then takes it
    adding: defer.DeferredLock = field(default_factory=defer.DeferredLock)
    memory: Memory | None = None

    def inner(self) -> Nesting:
        return replace(self, depth=self.depth + 1)


class PipelineStep(Protocol):
    """The pipeline's step."""

    build: Any
    master: Any
    remote: Any
    side_by_side: int
    nesting: Nesting

    def step_of(self, entry: Entry) -> Any: ...

    def updateSummary(self) -> None: ...


class Progress:
    """From its first line to the end of its last step."""

    def __init__(self, owner: PipelineStep, allowed: Allowed) -> None:
        self._owner = owner
        self._script = Script(allowed=allowed, budget=owner.nesting.budget, depth=owner.nesting.depth)
        self._order = StepOrder(side_by_side=owner.side_by_side)
        self._steps: dict[str, Any] = {}
        self._worst = SUCCESS
        self._waiting: defer.Deferred[None] | None = None
        self.account = Account()
        #: the line that could not be taken: from there on all are ignored, what came before runs
        self.problem: str | None = None

    @property
    def result(self) -> int:
        """The worst of all steps; what could not be taken, or was skipped, counts as a failure."""
        failed = self.problem is not None or self.account.skipped
        return int(worst_status(self._worst, FAILURE if failed else SUCCESS))

    def summary(self) -> str:
        return self.account.summary() if self.problem is None else self.problem.splitlines()[0]

    def take(self, text: str) -> None:
        """The program's next line."""
        if self.problem is not None:
            return
        try:
            entry = self._script.take(text)
            if entry is not None and isinstance(entry.line, lines.PropertyLine):
                self._set(entry.number, entry.line)
        except BadPipeline as problem:
            self.problem = str(problem)
            if len(text) in CUT:
                self.problem += f"; Buildbot's own worker cuts a line after {len(text)} characters: use a file for more"
            self._owner.updateSummary()
            return
        if entry is not None:
            self.account.taken(entry)
            self._carry_out(self._order.add(entry))

    def all_ended(self) -> defer.Deferred[None]:
        """The program is over: fires when all its steps are."""
        if self._order.idle:
            return defer.succeed(None)
        self._waiting = defer.Deferred()
        return self._waiting

    def interrupt(self, reason: Any) -> list[defer.Deferred[Any]]:
        """Begin nothing more, and end what runs."""
        self._carry_out(self._order.stop("the build was stopped"))
        return [defer.maybeDeferred(step.interrupt, reason) for step in list(self._steps.values())]

    def _set(self, number: int, line: lines.PropertyLine) -> None:
        properties = self._owner.build.getProperties()
        if properties.hasProperty(line.property) and properties.getPropertySource(line.property) != "Pipeline":
            raise BadPipeline(
                f"line {number}: field `property`: the build has a property `{line.property}` already "
                f"({properties.getPropertySource(line.property)}): choose another name"
            )
        self._owner.build.setProperty(line.property, line.value, "Pipeline")

    def _carry_out(self, moves: list[Move]) -> None:
        for move in moves:
            if isinstance(move, StartStep):
                self._run(move.entry).addErrback(self._crashed, move.entry)
            else:
                self.account.skip(move.entry, move.reason)
        self._owner.updateSummary()
        if self._order.idle and self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.callback(None)

    @defer.inlineCallbacks
    def _run(self, entry: Entry) -> Any:
        owner = self._owner
        step = owner.step_of(entry)
        self._steps[entry.name] = step
        owner.build.executedSteps.append(step)
        self.account.start(entry, owner.master.reactor.seconds())
        result = yield step.startStep(owner.remote)
        self._ended(entry, result, getattr(step, "agent", ""))

    def _crashed(self, failure: Failure, entry: Entry) -> None:
        """What Buildbot makes of a step never fails; what goes wrong before is a step that failed."""
        twisted_log.err(failure, f"pipeline: step {entry.name}")
        self._ended(entry, EXCEPTION, "")

    def _ended(self, entry: Entry, result: int, agent: str) -> None:
        self._steps.pop(entry.name, None)
        self._worst = worst_status(self._worst, result)
        self.account.end(entry, Results[result], agent, self._owner.master.reactor.seconds())
        self._carry_out(self._order.ended(entry.name, good=result in (SUCCESS, WARNINGS)))
