"""What was tested over which transport: recorded by `--record-transports`, and the table that is made of it.

`python -m tests.transport_table` writes docs/tested-transports.md. A test counts by its last run over each transport.
"""

from __future__ import annotations

import fcntl
import json
import re
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.harness.ways import BROKER, RABBITMQ, TRANSPORTS

ROOT = Path(__file__).parents[1]
RECORDED = Path(__file__).with_name("transport_results.json")
DOCUMENT = ROOT / "docs" / "tested-transports.md"

#: An outcome of tests that only RabbitMQ can pass; a colon and why follow.
LEFT_OUT = "left out"


#: Over this transport, though over another one.
NOT_RUN = "not run"
#: Of a test's report: the transport that it went over.
PROPERTY = "transport"


@dataclass
class Recorded:
    #: file -> transport -> test -> "passed", "failed" or `LEFT_OUT`
    results: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    #: file -> transport -> day and version of the last run
    runs: dict[str, dict[str, str]] = field(default_factory=dict)


#: Of one test: its node id, its transport, what became of it.
Outcome = tuple[str, str, str]

#: Folders whose tests go over what `--transport` says.
BY_OPTION = ("tests/buildbot/", "tests/faults/")
#: Folders and files whose tests go through the transports by themselves.
BY_PARAMETER = ("tests/transports/", "tests/acceptance/protocol/test_kit_over_wires.py")
_OWN = re.compile(r"tests/transports/(amp|zmq|ssh)/")
_PARAMETER = re.compile(r"\[(?:.*-)?(rabbitmq|amps?|zmq|ssh)\b")

#: What a reader looks for, and where its tests are; each file belongs to the first that fits.
ROWS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("the main job", ("tests/buildbot/test_main_job.py",)),
    ("parity with Buildbot's own worker", ("tests/buildbot/parity/",)),
    ("sessions end as Buildbot expects", ("tests/buildbot/endings/",)),
    ("columns, capabilities, preferences", ("tests/buildbot/columns/",)),
    ("one command on any agent", ("tests/buildbot/test_capability_command.py",)),
    ("batteries", ("tests/buildbot/battery/",)),
    ("pipelines", ("tests/buildbot/pipelines/",)),
    ("signatures, seals", ("tests/buildbot/test_trust.py",)),
    ("`fleet`, `why`, `run`, orders", ("tests/buildbot/test_operators.py",)),
    ("logs, files, secrets", ("tests/buildbot/output/",)),
    ("the fleet's page, Buildbot's pages", ("tests/buildbot/page/",)),
    ("the rest with a real master", ("tests/buildbot/",)),
    ("an agent is killed", ("tests/faults/agents/test_agent_killed.py",)),
    ("an agent's main process is killed", ("tests/faults/agents/test_main_process_killed.py",)),
    ("a link is cut and reset, 10 MB of log", ("tests/faults/agents/test_link_lost.py",)),
    ("an agent is cut off, or does not answer; strict fencing", ("tests/faults/agents/test_partition.py",)),
    ("a planned restart, an upgrade", ("tests/faults/agents/test_planned_restart.py",)),
    ("an agent is drained, leaves, or stops at once", ("tests/faults/agents/test_drained.py",)),
    ("disks and memory are full", ("tests/faults/agents/test_disk_and_memory.py",)),
    ("an offer that kills agents", ("tests/faults/agents/test_dead_offer.py",)),
    ("200 losses at random moments", ("tests/faults/agents/test_losses.py",)),
    ("a master is killed, stopped, upgraded", ("tests/faults/test_master_killed.py",)),
    ("command offers", ("tests/faults/test_command_offers.py",)),
    ("pipelines under faults", ("tests/faults/test_pipelines.py",)),
    ("other faults", ("tests/faults/",)),
    ("the conformance kit, by requirement", ("tests/acceptance/protocol/test_kit_over_wires.py",)),
    ("the port's suite: order, confirms, offers, loss", ("tests/transports/port/",)),
    ("the door: strangers, floods, silence, slow readers", ("tests/transports/wires/",)),
    ("walls between accounts", ("tests/transports/walls/", "tests/broker/security/")),
    ("from one place to another while builds run", ("tests/transports/moving/",)),
    ("commands and files on any agent: `run`, `put`, `get`", ("tests/transports/running/",)),
    ("what only this transport has", ("tests/transports/",)),
)  # fmt: skip

INTRODUCTION = """# What is tested over which transport

Made by `python -m tests.transport_table` from what `pytest --record-transports` has recorded. A cell says how many
tests passed in their last run there, of how many; "+n" more are left out there, since only RabbitMQ can do that
(below); "n not run" have run over another transport. An empty cell: not run. `pytest --transport amp tests/buildbot
tests/faults` runs the first rows over another transport; the others' tests go through all transports by themselves.

"""

NEEDS_RABBITMQ = """## What only RabbitMQ can

So many tests are left out over the other transports, where the master is its own broker. What a fleet without a broker
does instead stands in [its page](how-to/without-a-broker.md#what-is-different); `buildbot checkconfig` warns of it.

"""


def transport_of(nodeid: str, chosen: str) -> str | None:
    """The transport that this test goes over; None: none, or several. `chosen`: what `--transport` says."""
    if nodeid.startswith(BY_OPTION):
        return chosen
    if own := _OWN.match(nodeid):
        return own[1]
    if nodeid.startswith("tests/broker/"):
        return RABBITMQ if row_of(nodeid) else None  # most are about a broker, and no row shows them
    if nodeid.startswith(BY_PARAMETER) and (named := _PARAMETER.search(nodeid)):
        return named[1].removesuffix("s")
    return None


def add(recorded: Recorded, outcomes: Iterable[Outcome], run: str) -> None:
    """`run`: its day and version."""
    for nodeid, transport, outcome in outcomes:
        file, _, test = nodeid.partition("::")
        recorded.results.setdefault(file, {}).setdefault(transport, {})[test] = outcome
        recorded.runs.setdefault(file, {})[transport] = run


def read() -> Recorded:
    """Without files that are gone."""
    found = Recorded(**json.loads(RECORDED.read_text("utf-8"))) if RECORDED.exists() else Recorded()
    for of_files in (found.results, found.runs):
        for file in [file for file in of_files if not (ROOT / file).exists()]:
            del of_files[file]  # type: ignore[attr-defined]
    return found


def record(outcomes: Iterable[Outcome]) -> None:
    """As `add`, in the file; several runs may end at once."""
    with RECORDED.parent.joinpath("__init__.py").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        recorded = read()
        add(recorded, outcomes, f"{time.strftime('%Y-%m-%d')}, {version('buildbot-amqp')}")
        RECORDED.write_text(json.dumps(asdict(recorded), indent=0, sort_keys=True) + "\n", "utf-8")


class Recorder:
    """A plugin of pytest that records each test when it has ended: a run that is stopped counts as far as it came.

    With `-n`, the process that hears of them all.
    """

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        transport = dict(report.user_properties).get(PROPERTY)
        if transport is not None and (report.failed or (report.passed and report.when == "call")):
            record([(report.nodeid, str(transport), "failed" if report.failed else "passed")])


class RecorderOfLeftOut:
    """A plugin of pytest that records what only RabbitMQ can pass. With `-n`, only processes that run tests know it."""

    def __init__(self, chosen: str) -> None:
        self._chosen = chosen

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        marks = [(item.nodeid, item.get_closest_marker(RABBITMQ)) for item in items if self._chosen != RABBITMQ]
        record(
            (nodeid, self._chosen, f"{LEFT_OUT}: {(*mark.args, BROKER)[0]}")
            for nodeid, mark in marks
            if mark is not None
        )


def row_of(file: str) -> str | None:
    return next((row for row, where in ROWS if file.startswith(where)), None)


def page(recorded: Recorded) -> str:
    return f"{INTRODUCTION}{table(recorded)}\n\n{NEEDS_RABBITMQ}{needs_rabbitmq(recorded)}\n"


def table(recorded: Recorded) -> str:
    """One row a subject, one column a transport."""
    cells: dict[str, dict[str, list[str]]] = {}
    for file, of_file in _with_what_did_not_run(recorded).items():
        if (row := row_of(file)) is not None:
            for transport, outcomes in of_file.items():
                cells.setdefault(row, {}).setdefault(transport, []).extend(outcomes.values())
    lines = [
        "| | tests | " + " | ".join("RabbitMQ" if name == RABBITMQ else name for name in TRANSPORTS) + " |",
        "|---|---|" + "---:|" * len(TRANSPORTS),
    ]
    for row, where in ROWS:
        if row in cells:
            told = " | ".join(_cell(cells[row].get(name, [])) for name in TRANSPORTS)
            places = ", ".join(f"`{place}`" for place in where)
            lines.append(f"| {row} | {places} | {told} |")
    everything = [[each for row in cells.values() for each in row.get(name, [])] for name in TRANSPORTS]
    lines.append("| all | | " + " | ".join(map(_cell, everything)) + " |")
    lines.append("| when, which version | | " + " | ".join(_runs(recorded, name) for name in TRANSPORTS) + " |")
    return "\n".join(lines)


def _with_what_did_not_run(recorded: Recorded) -> dict[str, dict[str, dict[str, str]]]:
    """A file's tests have the same names over all transports where `--transport` chooses: what one lacks is known."""
    begun = {(row_of(file), transport) for file, of_file in recorded.results.items() for transport in of_file}
    found = {}
    for file, of_file in recorded.results.items():
        known = {
            test: NOT_RUN for tests in of_file.values() for test, told in tests.items() if not told.startswith(LEFT_OUT)
        }
        by_option = file.startswith(BY_OPTION)
        others = [name for name in TRANSPORTS if by_option and (row_of(file), name) in begun]
        found[file] = {
            transport: {**(known if by_option else {}), **of_file.get(transport, {})}
            for transport in dict.fromkeys([*of_file, *others])
        }
    return found


def needs_rabbitmq(recorded: Recorded) -> str:
    """One row for each reason for which tests are left out elsewhere, with how many."""
    reasons: dict[str, set[str]] = {}
    for file, of_file in recorded.results.items():
        for outcomes in of_file.values():
            for test, outcome in outcomes.items():
                if outcome.startswith(f"{LEFT_OUT}: "):
                    reasons.setdefault(outcome.removeprefix(f"{LEFT_OUT}: "), set()).add(f"{file}::{test}")
    rows = [f"| {reason} | {len(tests)} |" for reason, tests in sorted(reasons.items())]
    return "\n".join(["| | tests |", "|---|---:|", *rows])


def _runs(recorded: Recorded, transport: str) -> str:
    """Day and version of the oldest and the newest run that counts."""
    found = sorted({of_file[transport] for of_file in recorded.runs.values() if transport in of_file})
    return "" if not found else found[0] if len(found) == 1 else f"{found[0]} to {found[-1]}"


def _cell(outcomes: list[str]) -> str:
    missing = outcomes.count(NOT_RUN)
    passed, left = outcomes.count("passed"), sum(each.startswith(LEFT_OUT) for each in outcomes)
    ran = len(outcomes) - left - missing
    told = f"{passed} of {ran}" if ran else ""
    told += f" +{left}" if left else ""
    told += f", {missing} not run" if missing else ""
    return told.lstrip(" ,")


def main() -> int:
    DOCUMENT.write_text(page(read()), "utf-8")
    print(f"{DOCUMENT.relative_to(ROOT)}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
