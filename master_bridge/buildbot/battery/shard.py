"""One shard on its way: an agent is sought, prepared if need be, runs what it is given, and what that tells."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

import structlog
from buildbot.process.results import SUCCESS, WARNINGS
from twisted.internet import defer, error, threads

from master_bridge.buildbot.battery import reports
from master_bridge.buildbot.battery.command import REPORT, ShardCommand
from master_bridge.buildbot.battery.connection import ShardConnection
from master_bridge.buildbot.battery.preparing import NotPrepared, Preparation
from master_bridge.buildbot.battery.scripts import Places, asks_for
from master_bridge.buildbot.battery.units import with_units
from master_bridge.core.actions import Holder
from master_bridge.core.battery.bounds import DETAIL_MAX
from master_bridge.core.battery.events import Input, Shard, ShardEnded, ShardLost, ShardReturned, UnitReport

log = structlog.get_logger(__name__)


class ShardOwner(Protocol):
    """Whose shard it is: `run.Run`."""

    step: Any
    preparation: Preparation
    places: Places

    def connect(self, shard: int) -> ShardConnection: ...

    def taken(self, shard: int, holder: Holder) -> None:
        """Sets its `ShardRun.shard`, unless nothing is left for the agent to do."""

    def keep_report(self, shard: int, text: str) -> None: ...

    def show(self, header: str, printed: str) -> None: ...


class ShardRun:
    """`run` fires with what the battery is to be told; None: the master stops, and asks for it at its next start."""

    def __init__(self, owner: ShardOwner, number: int) -> None:
        self._owner = owner
        self._number = number
        #: None: no agent has come for it
        self.shard: Shard | None = None
        self._holder: Holder | None = None
        self._since = time.time()
        self._stopped = False
        self._connection = owner.connect(number)

    @property
    def keeps(self) -> bool:
        """The master stops, and asks for it at its next start."""
        return self._connection.kept or self._connection.keeps()

    def interrupt(self, reason: Any) -> None:
        """The step was stopped, or the master is."""
        self._stopped = True
        self._connection.interrupt(reason)

    @defer.inlineCallbacks
    def run(self) -> Any:
        number = self._number
        try:
            self._holder = yield self._connection.find()
            self._since = time.time()
            self._owner.taken(number, self._holder)
            told: Input = yield self._run()
        except error.ConnectionLost as problem:
            if self.keeps:
                return None
            reason = str(problem) or "its agent was lost"
            if self.shard is None:
                return ShardReturned(shard=number, reason=reason)
            self._owner.show(f"shard {number} was lost: {reason}", "")
            told = ShardLost(shard=number, reason=reason)
        except NotPrepared as problem:
            self._owner.show(f"shard {number} was not run: {problem}", "")
            told = ShardReturned(shard=number, reason=str(problem))
        finally:
            self._connection.leave()
        return told

    @defer.inlineCallbacks
    def _run(self) -> Any:
        if self.shard is None:
            return ShardReturned(shard=self._number, reason="nothing is left to be run")
        command = yield self._execute(self.shard, prepared=False)
        asks = asks_for(command.rc, command.printed.text)
        if asks is not None and not self._stopped:
            owner, holder = self._owner, self._holder
            assert holder is not None
            noted = owner.preparation.noted(holder.session)
            yield owner.preparation.prepare(owner.places, self._connection, holder, asks, noted)
            self._since = time.time()
            if not self._stopped:
                command = yield self._execute(self.shard, prepared=True)
        if self._stopped:
            return ShardLost(shard=self._number, reason="it was stopped")
        # in a thread: what has a hundred thousand tests takes a second
        cases, problem = yield threads.deferToThread(self._cases, command)
        return self._ended(self.shard, command, cases, problem)

    @defer.inlineCallbacks
    def _execute(self, shard: Shard, *, prepared: bool) -> Any:
        step, owner = self._owner.step, self._owner
        argv = owner.places.run(
            with_units(step.command_parts, shard.units),
            prepared=prepared,
            archived=owner.preparation.archived,
            report=step.report or "",
        )
        command = ShardCommand(
            title=f"shard {shard.number} of {step.name}, {len(shard.units)} units",
            workdir=owner.places.workdir,
            command=argv,
            env=step.shard_env,
            timeout=step.timeout,
            maxTime=step.maxTime,
            max_lines=step.max_lines,
            sigtermTime=step.sigtermTime,
            interruptSignal=step.interruptSignal,
            usePTY=False,
            logEnviron=False,
            decodeRC=step.decodeRC,
            logfiles={REPORT: step.report} if step.report else {},
        )
        command.worker = step.worker
        yield command.run(step, self._connection, step.build.builder.name)
        return command

    # ---- what it tells

    def _ended(self, shard: Shard, command: ShardCommand, cases: Sequence[reports.Case], problem: str) -> ShardEnded:
        seconds = time.time() - self._since
        failed = command.decodeRC.get(command.rc) not in (SUCCESS, WARNINGS)
        printed = command.printed.text
        found = reports.reports_of(shard.units, cases, failed=failed, output=self._why(command, problem) + printed)
        found = with_seconds(shard.units, found, seconds)
        agent = self._holder.agent if self._holder is not None else ""
        header = f"shard {shard.number} on {agent}: {len(shard.units)} units, exit status {command.rc}, {seconds:.1f} s"
        self._owner.show(f"{header}; {problem}" if problem else header, printed)
        unexplained = failed and not any(report.outcome in ("failed", "unknown") for report in found.values())
        reason = f"{header}: no unit failed\n{printed[-DETAIL_MAX:]}" if unexplained else ""
        warning = f"shard {shard.number} on {agent}: {problem}" if problem else ""
        return ShardEnded(shard=shard.number, seconds=seconds, reports=found, problem=reason, warning=warning)

    def _why(self, command: ShardCommand, problem: str) -> str:
        """What is said of a unit that no report tells of."""
        parts = [f"the command of shard {self._number} ended with exit status {command.rc}"]
        if command.remote_failure_reason:
            parts.append(f"({command.remote_failure_reason})")
        return " ".join(parts) + (f"; {problem}" if problem else "") + "\n"

    def _cases(self, command: ShardCommand) -> tuple[list[reports.Case], str]:
        """The report's tests, and what is wrong with it."""
        if not self._owner.step.report:
            return [], ""
        text = command.report
        if text is None:
            return [], f"its report is longer than {reports.REPORT_MAX} characters"
        if not text.strip():
            return [], "it wrote no report"
        try:
            cases = reports.read(text)
        except reports.BadReport as problem:
            log.warning("amqp.battery_report_unusable", shard=self._number, reason=str(problem))
            return [], f"its report cannot be used: {problem}"
        self._owner.keep_report(self._number, text)
        return cases, ""


def with_seconds(units: Sequence[str], found: dict[str, UnitReport], seconds: float) -> dict[str, UnitReport]:
    """Units that nobody measured share what of the shard's time the others leave."""
    unmeasured = [unit for unit in units if found[unit].seconds is None]
    if not unmeasured:
        return found
    measured = sum(report.seconds or 0.0 for report in found.values())
    each = max(0.001, (seconds - measured) / len(unmeasured))
    shared = {
        unit: UnitReport(outcome=found[unit].outcome, seconds=each, detail=found[unit].detail) for unit in unmeasured
    }
    return {**found, **shared}
