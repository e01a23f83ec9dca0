"""What was tested over which transport, as it is recorded and shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import transport_table as table
from tests.harness.tree import ROOT


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
        ("tests/unit/test_x.py::test_it[amp]", None),
    ],
)
def test_which_transport(nodeid: str, transport: str | None) -> None:
    assert table.transport_of(nodeid, "zmq") == transport


def test_cells() -> None:
    """Passed of those that ran, and those that are about RabbitMQ; nothing where nothing ran."""
    results: table.Results = {}
    file = "tests/buildbot/test_main_job.py"
    table.add(results, "amp", [(f"{file}::a", "failed"), (f"{file}::b", "passed"), (f"{file}::c", "left out")])
    table.add(results, "amp", [(f"{file}::a", "passed")])
    (row,) = [line for line in table.table(results).splitlines() if line.startswith("| the main job ")]
    assert row == "| the main job | `tests/buildbot/test_main_job.py` |  | 2 of 2 +1 |  |  |"


def test_rows_are_there() -> None:
    """Each row's tests, and a row for whatever goes by a transport."""
    assert [where for _, where in table.ROWS if not (ROOT / where).exists()] == []
    for folder in (*table.BY_OPTION, "tests/transports/"):
        assert {table.row_of(str(path.relative_to(ROOT))) for path in Path(ROOT / folder).rglob("test_*.py")} != {None}


def test_the_document_is_made_of_what_was_recorded() -> None:
    """`python -m tests.transport_table` makes it."""
    assert table.DOCUMENT.read_text("utf-8") == table.INTRODUCTION + table.table(table.read()) + "\n"
