"""What was tested over which transport: recorded by `--record-transports`, and the table that is made of it.

`python -m tests.transport_table` writes docs/tested-transports.md. A test counts by its last run over each transport.
"""

from __future__ import annotations

import fcntl
import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.harness.ways import RABBITMQ, TRANSPORTS

ROOT = Path(__file__).parents[1]
RECORDED = Path(__file__).with_name("transport_results.json")
DOCUMENT = ROOT / "docs" / "tested-transports.md"

#: file -> transport -> test -> "passed", "failed" or "left out" (it is about RabbitMQ)
Results = dict[str, dict[str, dict[str, str]]]

#: Folders whose tests go over what `--transport` says.
BY_OPTION = ("tests/buildbot/", "tests/faults/")
_OWN = re.compile(r"tests/transports/(amp|zmq|ssh)/")
_PARAMETER = re.compile(r"\[(?:.*-)?(rabbitmq|amps?|zmq|ssh)\b")

#: What a reader looks for, and where its tests are; each file belongs to the first that fits.
ROWS = (
    ("the main job", "tests/buildbot/test_main_job.py"),
    ("parity with Buildbot's own worker", "tests/buildbot/parity/"),
    ("sessions end as Buildbot expects", "tests/buildbot/endings/"),
    ("the fleet's page", "tests/buildbot/page/"),
    ("the rest with a real master", "tests/buildbot/"),
    ("an agent is killed", "tests/faults/agents/test_agent_killed.py"),
    ("an agent's main process is killed", "tests/faults/agents/test_main_process_killed.py"),
    ("a link is cut and reset, 10 MB of log", "tests/faults/agents/test_link_lost.py"),
    ("an agent is cut off, or stands still; strict fencing", "tests/faults/agents/test_partition.py"),
    ("a planned restart, an upgrade", "tests/faults/agents/test_planned_restart.py"),
    ("disks and memory are full", "tests/faults/agents/test_disk_and_memory.py"),
    ("an offer that kills agents", "tests/faults/agents/test_dead_offer.py"),
    ("200 losses at random moments", "tests/faults/agents/test_losses.py"),
    ("a master is killed, stopped, upgraded", "tests/faults/test_master_killed.py"),
    ("command offers", "tests/faults/test_command_offers.py"),
    ("pipelines", "tests/faults/test_pipelines.py"),
    ("other faults", "tests/faults/"),
    ("the port's suite: order, confirms, offers, loss", "tests/transports/port/"),
    ("the door: strangers, floods, silence, slow readers", "tests/transports/wires/"),
    ("from one place to another while builds run", "tests/transports/moving/"),
    ("what only this transport has", "tests/transports/"),
)  # fmt: skip

INTRODUCTION = """# What is tested over which transport

Made by `python -m tests.transport_table` from what `pytest --record-transports` has recorded; nothing in the table is
typed by hand. A cell says how many tests passed in their last run there, of how many; "+n" more are left out there,
since they are about RabbitMQ itself. An empty cell: not run. `pytest --transport amp tests/buildbot tests/faults` runs
the first rows over another transport.

"""


def transport_of(nodeid: str, chosen: str) -> str | None:
    """The transport that this test goes over; None: none, or several. `chosen`: what `--transport` says."""
    if nodeid.startswith(BY_OPTION):
        return chosen
    if own := _OWN.match(nodeid):
        return own[1]
    if nodeid.startswith("tests/transports/") and (named := _PARAMETER.search(nodeid)):
        return named[1].removesuffix("s")
    return None


def add(results: Results, chosen: str, outcomes: Iterable[tuple[str, str]]) -> None:
    """`outcomes`: of a run, node id and what became of it."""
    for nodeid, outcome in outcomes:
        transport = transport_of(nodeid, chosen)
        if transport is not None:
            file, _, test = nodeid.partition("::")
            results.setdefault(file, {}).setdefault(transport, {})[test] = outcome


def read() -> Results:
    found: Results = json.loads(RECORDED.read_text("utf-8")) if RECORDED.exists() else {}
    return {file: of_file for file, of_file in found.items() if (ROOT / file).exists()}


def record(chosen: str, outcomes: Iterable[tuple[str, str]]) -> None:
    """As `add`, in the file; several runs may end at once."""
    with RECORDED.parent.joinpath("__init__.py").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        results = read()
        add(results, chosen, outcomes)
        RECORDED.write_text(json.dumps(results, indent=0, sort_keys=True) + "\n", "utf-8")


def row_of(file: str) -> str | None:
    return next((row for row, where in ROWS if file.startswith(where)), None)


def table(results: Mapping[str, Mapping[str, Mapping[str, str]]]) -> str:
    """One row a subject, one column a transport."""
    cells: dict[str, dict[str, list[str]]] = {}
    for file, of_file in results.items():
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
            lines.append(f"| {row} | `{where}` | {told} |")
    everything = [[each for row in cells.values() for each in row.get(name, [])] for name in TRANSPORTS]
    lines.append("| all | | " + " | ".join(map(_cell, everything)) + " |")
    return "\n".join(lines)


def _cell(outcomes: list[str]) -> str:
    passed, left = outcomes.count("passed"), outcomes.count("left out")
    ran = len(outcomes) - left
    if not outcomes:
        return ""
    return (f"{passed} of {ran}" if ran else "") + (f" +{left}" if left else "")


def main() -> int:
    DOCUMENT.write_text(INTRODUCTION + table(read()) + "\n", "utf-8")
    print(f"{DOCUMENT.relative_to(ROOT)}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
