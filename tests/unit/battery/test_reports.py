"""JUnit reports of any runner, and of whoever means harm: read, matched with units, merged."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from master_bridge.buildbot.battery import reports
from master_bridge.buildbot.battery.reports import BadReport, Matcher, read, reports_of
from master_bridge.core.battery.bounds import DETAIL_SHORT, SHARD_DETAILS_MAX
from master_bridge.core.battery.events import Outcome, UnitResult

PYTEST = """<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest" errors="0"
failures="1" skipped="1" tests="4" time="0.1"><testcase classname="tests.test_a" name="test_one" time="0.25" />
<testcase classname="tests.test_a.TestB" name="test_two[x/y.py::z]" time="0.5"><failure message="assert 1 == 2">def
test_two(): E assert 1 == 2</failure><system-out>hello</system-out></testcase>
<testcase classname="tests.sub.test_c" name="test_three" time="1"><skipped type="pytest.skip" message="no">x</skipped>
</testcase><testcase classname="" name="tests.test_d" time="0"><error message="collection failure">boom</error>
</testcase></testsuite></testsuites>"""
CTEST = """<testsuite name="Linux-c++" tests="2"><testcase name="math.add" classname="math.add" time="0.01"
status="run"/><testcase name="math.sub" classname="math.sub" time="0.02" status="fail"><failure message=""/>
<system-out>wrong</system-out></testcase></testsuite>"""
NODE = """<testsuites><testsuite name="adding" time="0.01" tests="1"><testsuite name="inner" tests="1">
<testcase name="adds" time="0.002" classname="test" file="/b/slot-1/b/build/test/add.test.js"/></testsuite></testsuite>
<testcase name="top" time="0.001" classname="test" file="/b/slot-1/b/build/test/top.test.js"><failure type="x"
message="wrong"/></testcase></testsuites>"""


def test_a_pytest_report() -> None:
    """Units may be node ids, classes or files."""
    cases = read(PYTEST)
    assert [case.outcome for case in cases] == ["passed", "failed", "skipped", "failed"]
    units = ["tests/test_a.py::test_one", "tests/test_a.py::TestB", "tests/sub/test_c.py", "tests/test_d.py"]
    found = reports_of(units, cases, failed=True, output="")
    assert [found[unit].outcome for unit in units] == ["passed", "failed", "skipped", "failed"]
    assert found[units[0]].seconds == 0.25
    assert "assert 1 == 2" in found[units[1]].detail
    assert "hello" in found[units[1]].detail
    exact = ["tests/test_a.py::TestB::test_two[x/y.py::z]"]
    assert reports_of(exact, cases, failed=True, output="")[exact[0]].outcome == "failed"


def test_reports_of_ctest_and_node() -> None:
    """Units are tests' names there, and files here."""
    found = reports_of(["math.add", "math.sub"], read(CTEST), failed=True, output="")
    assert (found["math.add"].outcome, found["math.sub"].outcome) == ("passed", "failed")
    assert "wrong" in found["math.sub"].detail
    files = ["test/add.test.js", "test/top.test.js"]
    found = reports_of(files, read(NODE), failed=True, output="")
    assert [found[file].outcome for file in files] == ["passed", "failed"]


def test_the_declared_encoding_of_a_report_does_not_matter() -> None:
    """It comes as text, whatever its bytes were."""
    for encoding in ("ISO-8859-1", "utf-16", "nonsense"):
        [case] = read(
            f'\ufeff<?xml version="1.0" encoding="{encoding}"?><testsuite><testcase name="Käse"/></testsuite>'
        )
        assert case.name == "Käse"


def test_what_no_report_tells() -> None:
    """Nothing is known of a unit that is missing where the command failed; else it has passed."""
    assert reports_of(["a", "b"], [], failed=False, output="")["a"].outcome == "passed"
    missing = reports_of(["a", "b"], [], failed=True, output="Segmentation fault")
    assert (missing["a"].outcome, missing["a"].detail) == ("unknown", "Segmentation fault")
    all_passed = read('<testsuite><testcase name="a"/><testcase name="b"/></testsuite>')
    assert {report.outcome for report in reports_of(["a", "b"], all_passed, failed=True, output="").values()} == {
        "passed"
    }


BOMB = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><testsuites>&b;</testsuites>'
EXTERNAL = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><testsuites><testcase name="&x;"/></testsuites>'


@pytest.mark.parametrize(
    "text",
    [
        BOMB, EXTERNAL, "", "no xml", "<testsuites>", "<html/>", "\x00", "<a>\ud800</a>",
        "<testsuite>" * 60 + "</testsuite>" * 60,
        "<testsuite>" + "<testcase/>" * 200_001 + "</testsuite>",
        "<testsuites>" + "x" * reports.REPORT_MAX + "</testsuites>",
        '<testsuite><testcase name="a" time="soon"/></testsuite>',
        "<testsuites xmlns='x'><testcase/></testsuites>",
    ],
    ids=range(13),
)  # fmt: skip
def test_a_hostile_report_is_refused(text: str) -> None:
    """Entities, depth, size, nonsense: an error that says what is wrong, nothing else."""
    with pytest.raises(BadReport):
        read(text)


@pytest.mark.parametrize("time", ["-1", "1e308", "nan", "inf", "99999999999"])
def test_a_time_that_cannot_be_is_none(time: str) -> None:
    """It would be in the timings for ever."""
    assert read(f'<testsuite><testcase name="a" time="{time}"/></testsuite>')[0].seconds == 0.0


def test_a_report_that_speaks_of_others_changes_nothing_for_them() -> None:
    """Only a shard's own units are looked for."""
    found = reports_of(
        ["a"], read('<testsuite><testcase name="b"/><testcase name="a"/></testsuite>'), failed=False, output=""
    )
    assert set(found) == {"a"}
    assert Matcher(["a"]).unit_of(read('<testsuite><testcase name="b"/></testsuite>')[0]) is None


def test_merged() -> None:
    """Tests of the runs that count, and units without a test, in one report that can be read again."""

    def result(unit: str, shard: int, outcome: Outcome, detail: str = "") -> UnitResult:
        return UnitResult(unit=unit, outcome=outcome, seconds=1.0, detail=detail, agent="a1", shard=shard, runs=1)

    results = {
        "math.add": result("math.add", 1, Outcome.PASSED),
        "math.sub": result("math.sub", 2, Outcome.PASSED),
        "k": result("k", 3, Outcome.KILLER, "lost \x00\x1b\ufffe"),
    }
    again = read('<testsuite><testcase name="math.sub" time="0.5"/></testsuite>')
    text = reports.merged(results, {1: read(CTEST), 2: again})
    root = ElementTree.fromstring(text)
    assert sorted(str(case.get("name")) for case in root.iter("testcase")) == ["k", "math.add", "math.sub"]
    assert len(list(root.iter("failure"))) == 1
    assert root.get("tests") == "3"
    assert read(text.decode())


def test_details_of_a_shard_are_bounded() -> None:
    """Two thousand units that all fail with long texts."""
    failed = "".join(f'<testcase name="t{n}"><failure>{"x" * 3000}</failure></testcase>' for n in range(2000))
    units = [f"t{n}" for n in range(2000)]
    found = reports_of(units, read(f"<testsuite>{failed}</testsuite>"), failed=True, output="")
    assert sum(len(report.detail) for report in found.values()) < SHARD_DETAILS_MAX + 2000 * (DETAIL_SHORT + 1)
    assert {report.outcome for report in found.values()} == {"failed"}
