"""What was tested over which transport, as it is recorded and shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from tests import transport_table as table
from tests.faults.laboratory import record
from tests.harness.tree import ROOT
from tests.harness.ways import BROKER


@pytest.mark.parametrize(
    ("nodeid", "transport"),
    [
        ("tests/buildbot/test_main_job.py::test_it", "zmq"),
        ("tests/faults/agents/test_link_lost.py::test_it[reset]", "zmq"),
        ("tests/transports/amp/test_amp_door.py::test_it[amp://127.0.0.1:0]", "amp"),
        ("tests/transports/port/test_loss.py::test_it[ssh]", "ssh"),
        ("tests/transports/port/test_loss.py::test_it[cut-rabbitmq]", "rabbitmq"),
        ("tests/transports/wires/test_doors.py::test_it[amp://127.0.0.1:0?tls=off]", "amp"),
        ("tests/transports/wires/test_doors.py::test_it[ssh:]", "ssh"),
        ("tests/transports/office/test_operators.py::test_it", None),
        ("tests/broker/security/test_attacks.py::test_it", "rabbitmq"),
        ("tests/broker/agent/test_leaving.py::test_it", None),
        ("tests/unit/test_x.py::test_it[amp]", None),
    ],
)
def test_which_transport(nodeid: str, transport: str | None) -> None:
    assert table.transport_of(nodeid, "zmq") == transport


def test_cells() -> None:
    """Passed of those that ran, and those that are about RabbitMQ; nothing where nothing ran."""
    recorded = table.Recorded()
    file = "tests/buildbot/test_main_job.py"
    outcomes = [("a", "failed"), ("b", "passed"), ("c", "left out: several masters"), ("d", "failed")]
    table.add(recorded, [(f"{file}::{test}", "amp", outcome) for test, outcome in outcomes], "2026-01-02, 1.0")
    table.add(recorded, [(f"{file}::a", "amp", "passed")], "2026-01-03, 1.0")
    table.add(recorded, [(f"{file}::a", "zmq", "passed")], "2026-01-03, 1.0")
    lines = table.page(recorded).splitlines()
    assert "| the main job | `tests/buildbot/test_main_job.py` |  | 2 of 3 +1 | 1 of 1, 2 not run |  |" in lines
    assert "| when, which version | |  | 2026-01-03, 1.0 | 2026-01-03, 1.0 |  |" in lines
    assert "| several masters | 1 |" in lines
    table.add(recorded, [(f"{file}::{test}", "ssh", "left out: several masters") for test in "bc"], "2026-01-03, 1.0")
    assert "| 1 of 1, 2 not run | +2, 2 not run |" in table.page(recorded)


def test_rows_are_there() -> None:
    """Each row's tests, and a row for whatever goes by a transport."""
    assert [place for _, where in table.ROWS for place in where if not (ROOT / place).exists()] == []
    for folder in (*table.BY_OPTION, "tests/transports/"):
        assert {table.row_of(str(path.relative_to(ROOT))) for path in Path(ROOT / folder).rglob("test_*.py")} != {None}


def test_the_document_is_made_of_what_was_recorded() -> None:
    """`python -m tests.transport_table` makes it."""
    assert table.DOCUMENT.read_text("utf-8") == table.page(table.read())


def test_the_page_of_faults_keeps_rows_of_other_machines() -> None:
    """A newer finding takes the place of one of the same fault over the same transport, and of no other."""
    old = record.Finding(fault="a cut", how="a proxy", seen="RETRY", seconds=6.5, transport="ssh")
    others = [
        replace(old, transport="amp", seconds=None),
        replace(old, transport="rabbitmq"),
        replace(old, transport="rabbitmq", protocol="PB"),
        replace(old, fault="a reset"),
    ]
    page = record.INTRODUCTION + record.table([old, *others]) + "\n"
    assert sorted(map(repr, record.recorded(page))) == sorted(map(repr, [old, *others]))
    new = replace(old, seen="SUCCESS", seconds=3.1)
    assert sorted(map(repr, record.together(record.recorded(page), [new]))) == sorted(map(repr, [new, *others]))


def test_the_page_of_faults_can_be_read() -> None:
    assert len(record.recorded(record.DOCUMENT.read_text())) == record.DOCUMENT.read_text().count("\n| ") - 1


def test_each_test_is_recorded_when_it_has_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A failure of a fixture's end, too; what goes over no transport is not."""
    (tmp_path / "__init__.py").touch()
    monkeypatch.setattr(table, "RECORDED", tmp_path / "results.json")
    recorder, file = table.Recorder(), "tests/buildbot/test_main_job.py"

    def report(test: str, when: Literal["setup", "call", "teardown"], outcome: Literal["passed", "failed"]) -> None:
        over = [] if test == "pure" else [(table.PROPERTY, "zmq")]
        nodeid = f"{file}::{test}"
        recorder.pytest_runtest_logreport(
            pytest.TestReport(nodeid, (file, 1, test), {}, outcome, None, when, user_properties=over)
        )

    for test in ("good", "bad", "pure"):
        report(test, "setup", "passed")
        report(test, "call", "passed")
        report(test, "teardown", "failed" if test == "bad" else "passed")
    assert table.read().results == {file: {"zmq": {"good": "passed", "bad": "failed"}}}


@pytest.mark.parametrize("processes", [0, 1])
def test_what_is_left_out_is_recorded_however_many_processes_run(processes: int, tmp_path: Path) -> None:
    """With `-n`, the process that hears of the results collects no tests."""
    (tmp_path / "__init__.py").touch()
    recorded = tmp_path / "results.json"
    (tmp_path / "elsewhere.py").write_text(
        "from pathlib import Path\nfrom tests import transport_table\n"
        f"transport_table.RECORDED = Path({str(recorded)!r})\n"
    )
    file = "tests/buildbot/test_main_job.py"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "elsewhere", f"-n{processes}"]
    command += ["--record-transports", "--transport=amp", "-k", "no_test_has_this_name", file]
    told = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert told.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, told.stdout + told.stderr
    assert json.loads(recorded.read_text("utf-8"))["results"] == {
        file: {"amp": {"test_a_build_runs_on_an_agent[quorum]": f"left out: {BROKER}"}}
    }
