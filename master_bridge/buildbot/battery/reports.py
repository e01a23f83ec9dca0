"""JUnit reports of shards: read without trusting anything they say, matched with units, merged into one.

A report is a file on an agent's disk that a program under test may have written: it is bounded in size, depth and
elements, and has no document type (and so no entities) when the library gets it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from xml.parsers import expat

from junitparser import Attr, Error, Failure, JUnitXml, Skipped, TestCase, TestSuite
from junitparser import junitparser as library

from master_bridge.core.battery.bounds import DETAIL_MAX, DETAIL_SHORT, SHARD_DETAILS_MAX
from master_bridge.core.battery.events import UnitReport, UnitResult

#: Characters of one shard's report.
REPORT_MAX = 8 * 1024 * 1024
#: Elements in one report, and in one another.
ELEMENTS_MAX = 200_000
DEPTH_MAX = 50
#: What some runners say beside a test's name, and the library has no attribute for.
_FILE = Attr("file")
#: Seconds that one test may say it took.
SECONDS_MAX = 7 * 24 * 3600.0
_DECLARATION = re.compile(r"^\ufeff?\s*<\?xml\s[^>]*\?>")
#: What XML 1.0 has no form for.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
#: A test file's ending, which module names in reports lack.
_ENDING = re.compile(r"\.py(?=\.|$)")


class BadReport(Exception):
    """A shard's report cannot be used; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One test of a report."""

    name: str
    classname: str
    file: str
    seconds: float
    outcome: Literal["passed", "skipped", "failed"]
    detail: str
    element: TestCase


def read(text: str) -> list[Case]:
    """All tests of a report, in its order. Raises `BadReport`."""
    if len(text) > REPORT_MAX:
        raise BadReport(f"it is longer than {REPORT_MAX} characters")
    text = _DECLARATION.sub("", text, count=1)  # of an encoding, which it has no more
    _check(text)
    try:
        root = library.etree.fromstring(text.encode())  # type: ignore[attr-defined]  # its own choice: lxml, if there
        if root.tag not in ("testsuites", "testsuite"):
            raise BadReport(f"it begins with {root.tag[:50]!r}")
        # wherever they stand: node's runner puts some beside suites, and suites within suites
        return [_case(TestCase.fromelem(case)) for case in root.iter("testcase")]  # type: ignore[no-untyped-call]
    except (ValueError, TypeError, AttributeError, SyntaxError) as error:
        raise BadReport(f"it is no JUnit report: {error}"[:500]) from None


def _check(text: str) -> None:
    """Well-formed, small, without a document type."""
    parser = expat.ParserCreate()
    depth = count = 0

    def start(_name: str, _attributes: Any) -> None:
        nonlocal depth, count
        depth, count = depth + 1, count + 1
        if depth > DEPTH_MAX or count > ELEMENTS_MAX:
            raise BadReport(f"more than {ELEMENTS_MAX} elements, or {DEPTH_MAX} in one another")

    def end(_name: str) -> None:
        nonlocal depth
        depth -= 1

    def doctype(*_: Any) -> None:
        raise BadReport("it has a document type, which no test runner writes")

    parser.StartElementHandler, parser.EndElementHandler, parser.StartDoctypeDeclHandler = start, end, doctype
    try:
        parser.Parse(text.encode(), True)
    except (expat.ExpatError, UnicodeError, ValueError) as error:
        raise BadReport(f"it is no XML: {error}") from None


def _case(element: TestCase) -> Case:
    bad = [found for found in element.result if isinstance(found, (Failure, Error))]
    skipped = any(isinstance(found, Skipped) for found in element.result)
    outcome: Literal["passed", "skipped", "failed"] = "failed" if bad else "skipped" if skipped else "passed"
    seconds = element.time or 0.0
    return Case(
        name=element.name or "",
        classname=element.classname or "",
        file=_FILE.__get__(element, TestCase) or "",  # type: ignore[no-untyped-call]  # the library has no annotations
        seconds=seconds if 0 <= seconds <= SECONDS_MAX else 0.0,
        outcome=outcome,
        detail=_detail(bad, element)[:DETAIL_MAX],
        element=element,
    )


def _detail(bad: Sequence[Any], element: TestCase) -> str:
    if not bad:
        return ""
    parts = [text for found in bad for text in (found.message, found.text) if text]
    for title, text in (("printed", element.system_out), ("printed as errors", element.system_err)):
        if text:
            parts.append(f"--- {title} ---\n{text}")
    return "\n".join(parts)


# ---- which unit is it?


class Matcher:
    """Finds the unit that a test of a report belongs to: a test's own name, or that of its file or class."""

    def __init__(self, units: Iterable[str]) -> None:
        self._plain = {unit: unit for unit in units}
        self._dotted = {dotted(unit): unit for unit in self._plain}

    def unit_of(self, case: Case) -> str | None:
        full = f"{case.classname}.{case.name}" if case.classname else case.name
        if full in self._dotted:
            return self._dotted[full]
        for known in (case.name, case.file):
            if known in self._plain:
                return self._plain[known]
        return self._by_file(case.file) or self._by_class(case.classname)

    def _by_class(self, classname: str) -> str | None:
        """ "tests.test_a.TestB" is of "tests/test_a.py::TestB", or else of "tests/test_a.py"."""
        while classname:
            if classname in self._dotted:
                return self._dotted[classname]
            classname = classname.rpartition(".")[0]
        return None

    def _by_file(self, file: str) -> str | None:
        """An absolute path on the agent ends with the unit's."""
        parts = file.split("/")
        return next((self._plain[end] for n in range(len(parts)) if (end := "/".join(parts[n:])) in self._plain), None)


def dotted(unit: str) -> str:
    """A pytest node id, or a file, as reports name it: "tests/test_a.py::test_b[x/y]" -> "tests.test_a.test_b[x/y]"."""
    head, bracket, parameters = unit.removeprefix("./").partition("[")
    return _ENDING.sub("", head.replace("::", ".").replace("/", ".")) + bracket + parameters


def reports_of(units: Sequence[str], cases: Sequence[Case], *, failed: bool, output: str) -> dict[str, UnitReport]:
    """What a shard's run tells of each of its units. `failed`: its command did; `output`: the end of what it printed.

    A unit with several tests is as bad as the worst, and takes as long as all of them. Of one without a test nothing is
    known when the command failed and no test did; else it has passed.
    """
    found: dict[str, list[Case]] = {}
    matcher = Matcher(units)
    for case in cases:
        unit = matcher.unit_of(case)
        if unit is not None:
            found.setdefault(unit, []).append(case)
    explained = not failed or any(case.outcome == "failed" for each in found.values() for case in each)
    reports = {unit: _joined(of_unit) for unit, of_unit in found.items()}
    if failed and not explained and len(reports) == len(units):
        return reports  # each of them passed: the command has a reason of its own, which the step tells
    for unit in units:
        if unit not in reports:
            lacking = UnitReport(outcome="unknown", detail=output[-DETAIL_MAX:])
            reports[unit] = UnitReport(outcome="passed") if not failed else lacking
    return _bounded(reports)


def _bounded(reports: dict[str, UnitReport]) -> dict[str, UnitReport]:
    """A shard in which everything fails is one line of a journal all the same."""
    room = SHARD_DETAILS_MAX
    for unit, report in reports.items():
        room -= len(report.detail)
        if room < 0 and len(report.detail) > DETAIL_SHORT:
            reports[unit] = replace(report, detail=report.detail[:DETAIL_SHORT])
    return reports


def _joined(cases: Sequence[Case]) -> UnitReport:
    outcomes = {case.outcome for case in cases}
    outcome: Literal["passed", "skipped", "failed"] = "passed"
    if "failed" in outcomes:
        outcome = "failed"
    elif outcomes == {"skipped"}:
        outcome = "skipped"
    details = [f"{case.classname} {case.name}\n{case.detail}" for case in cases if case.outcome == "failed"]
    return UnitReport(
        outcome=outcome, seconds=sum(case.seconds for case in cases), detail="\n\n".join(details)[:DETAIL_MAX]
    )


# ---- all reports in one


def merged(results: Mapping[str, UnitResult], report_of: Mapping[int, Sequence[Case]]) -> bytes:
    """A JUnit report with the tests of those runs that count. `report_of`: each shard's tests, by its number.

    A unit of which no report tells is a test itself.
    """
    xml = JUnitXml()
    by_shard: dict[int, list[UnitResult]] = {}
    for result in results.values():
        by_shard.setdefault(result.shard, []).append(result)
    for shard, settled in sorted(by_shard.items()):
        suite = TestSuite(f"shard {shard} on {settled[0].agent}")
        matcher, told = Matcher(result.unit for result in settled), set()
        for case in report_of.get(shard, ()):
            unit = matcher.unit_of(case)
            if unit is not None:
                told.add(unit)
                suite.add_testcase(case.element)
        for result in settled:
            if result.unit not in told:
                suite.add_testcase(_of_unit(result))
        xml.add_testsuite(suite)
    xml.update_statistics()  # type: ignore[no-untyped-call]  # it has no annotations
    text: bytes = xml.tostring()  # type: ignore[no-untyped-call]  # nor this
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + text + b"\n"


def _of_unit(result: UnitResult) -> TestCase:
    case = TestCase(_xml_text(result.unit), time=result.seconds or 0.0)
    if result.outcome.bad:
        failure = Failure(result.outcome.value)
        failure.text = _xml_text(result.detail)
        case.result = [failure]
    elif result.outcome.value == "skipped":
        case.result = [Skipped()]
    return case


def _xml_text(text: str) -> str:
    return _NO_XML.sub("?", text)
