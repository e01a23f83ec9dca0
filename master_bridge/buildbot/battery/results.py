"""What a battery leaves behind: logs, the merged report, Buildbot's test results, a picture."""

from __future__ import annotations

from typing import Any

import structlog
from twisted.internet import defer, threads

from contracts.readable import shown
from master_bridge.buildbot.battery import reports
from master_bridge.buildbot.battery.picture import picture
from master_bridge.buildbot.battery.store import Store
from master_bridge.core.battery.battery import BatteryMachine
from master_bridge.core.battery.events import Outcome, UnitResult

log = structlog.get_logger(__name__)

#: Failed units with a log each, and units in the summary.
LOGS_MAX = 50
#: Characters of a unit in the name of its log.
NAME_MAX = 200
SUMMARY_MAX = 1_000


@defer.inlineCallbacks
def show(step: Any, battery: BatteryMachine, store: Store) -> Any:
    """Into the step's logs, its folder on the master, and Buildbot's tables."""
    told = [result for result in battery.results.values() if result.outcome.bad or result.outcome is Outcome.FLAKY]
    told.sort(key=lambda result: (not result.outcome.bad, result.unit))
    yield threads.deferToThread(_merge, battery, store)
    yield step.addCompleteLog("summary", _summary(battery, told, store))
    for result in told[:LOGS_MAX]:
        text = f"{_line(result)}\n\n{result.detail}\n"
        yield step.addCompleteLog(f"{result.outcome.value}: {shown(result.unit, NAME_MAX)}", _clean(step, text))
    if battery.spans:
        yield step.addHTMLLog("picture", picture(battery))
    yield _test_results(step, battery)


def _summary(battery: BatteryMachine, told: list[UnitResult], store: Store) -> str:
    counts = battery.counts
    lines = [
        f"{len(battery.units)} units: {counts.passed} passed, {counts.failed} failed, {counts.flaky} flaky, "
        f"{counts.skipped} skipped, {len(battery.units) - counts.settled} not run",
        f"{len(battery.spans)} shards on {len({span.agent for span in battery.spans})} agents, {counts.lost} lost",
        f"all results: {store.junit}",
        "",
        *[_line(result) for result in told[:SUMMARY_MAX]],
    ]
    if len(told) > SUMMARY_MAX:
        lines.append(f"and {len(told) - SUMMARY_MAX} more")
    if battery.unusable:
        lines += ["", f"{battery.unusable} reports could not be used:", *battery.warnings]
    for problem in battery.problems:
        lines += ["", problem]
    return "\n".join(lines) + "\n"


def _line(result: UnitResult) -> str:
    seconds = "" if result.seconds is None else f", {result.seconds:.2f} s"
    runs = f", {result.runs} runs" if result.runs != 1 else ""
    return (
        f"{result.outcome.value.upper():8} {shown(result.unit)} (shard {result.shard} on {result.agent}{seconds}{runs})"
    )


def _clean(step: Any, text: str) -> str:
    cleaned: str = step.build.properties.cleanupTextFromSecrets(text)
    return cleaned


def _merge(battery: BatteryMachine, store: Store) -> None:
    """In a thread: a report may be large."""
    wanted = {result.shard for result in battery.results.values()}
    cases: dict[int, list[reports.Case]] = {}
    for shard in wanted:
        text = store.report(shard)
        if text:
            cases[shard] = reports.read(text)
    store.junit.write_bytes(reports.merged(battery.results, cases))


@defer.inlineCallbacks
def _test_results(step: Any, battery: BatteryMachine) -> Any:
    set_id = yield step.addTestResultSet(f"units of {step.name}", "pass_fail", "boolean")
    for result in battery.results.values():
        step.addTestResult(
            set_id,
            "0" if result.outcome.bad else "1",
            test_name=result.unit,
            duration_ns=None if result.seconds is None else int(result.seconds * 1e9),
        )
