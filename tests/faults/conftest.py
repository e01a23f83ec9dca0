"""Laboratories for faults, and the table of what was found."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from contracts.testing.rabbitmq.node import RabbitMQNode
from tests.faults.laboratory.lab import Lab
from tests.faults.laboratory.record import PROPERTY, REPORT, Finding, keep, table
from tests.harness.master import BuildMaster
from tests.harness.vhosts import Vhosts
from tests.harness.ways import RABBITMQ, office

#: What the step `work` of the shared builders prints.
LOG_SIZE = 200_000
LOUD_SIZE = 10_000_000

Record = Callable[..., None]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them are `long`: they take minutes, and their bounds in seconds want a machine without other tests.

    What `make test` holds of the same is in tests/buildbot (killed agents and masters) and tests/simulation.
    """
    for item in items:
        if item.nodeid.startswith("tests/faults/"):
            item.add_marker(pytest.mark.long)


@pytest.fixture(scope="session")
def master_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of this Buildbot's version, made once: it takes seconds."""
    folder = tmp_path_factory.mktemp("database")
    BuildMaster(folder, "c['workers'] = [worker.Worker('w', 'p')]\nbuilder('b', c['workers'])\n", url=None).create()
    return folder / "state.sqlite"


@pytest.fixture
def lab(request: pytest.FixtureRequest, tmp_path: Path, master_database: Path) -> Iterator[Lab]:
    """On the shared node, or without one: for faults that leave the broker alone."""
    made = chosen_lab(request, tmp_path / "lab", master_database)
    yield made
    made.end()


def chosen_lab(request: pytest.FixtureRequest, folder: Path, database: Path) -> Lab:
    """Over what `--transport` says; for one test."""
    transport = request.config.getoption("--transport")
    if transport == RABBITMQ:
        return Lab(folder, request.getfixturevalue("node"), request.getfixturevalue("make_vhost")(), database)
    return Lab.without_broker(folder, office(transport, folder / "master-m1"), database)


@pytest.fixture(scope="session")
def _settled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, master_database: Path
) -> Iterator[Lab]:
    folder, transport = tmp_path_factory.mktemp("settled"), request.config.getoption("--transport")
    if transport == RABBITMQ:
        vhosts: Vhosts = request.getfixturevalue("_vhosts")
        made = Lab(folder, request.getfixturevalue("node"), vhosts.take(), master_database)
    else:
        made = Lab.without_broker(folder, office(transport, folder / "master-m1"), master_database)
    config = made.column(steps=made.three_steps(seconds=8, size=LOG_SIZE))
    config += made.column(builder="slow", column="slow", steps=made.three_steps(seconds=25, size=LOG_SIZE))
    config += made.column(builder="loud", column="loud", steps=made.three_steps(seconds=5, size=LOUD_SIZE))
    made.settle(made.master(config))
    yield made
    made.end()


@pytest.fixture
def settled(_settled: Lab) -> Iterator[Lab]:
    """A lab whose one master is past the longer grace of its first 45 s; these tests share it, one after the other.

    Builders: `b` (needs `gtk`, 8 s), `slow` (25 s), `loud` (5 s, prints `LOUD_SIZE`); steps first, work (prints
    `LOG_SIZE`), last.
    """
    yield _settled
    _settled.clear()


@pytest.fixture
def own_lab(tmp_path: Path, own_node: RabbitMQNode, master_database: Path) -> Iterator[Lab]:
    """On a node of its own, vhost `/`, which may be killed."""
    made = Lab(tmp_path / "lab", own_node, "/", master_database)
    yield made
    made.end()


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    """`record(fault=…, how=…, seen=…, seconds=…)`: one row of the table; called at the end of a test."""
    findings: list[Finding] = []
    name = re.sub(r"\W+", "_", request.node.nodeid.split("/")[-1]).strip("_")

    def note(**fields: object) -> None:
        transport = request.config.getoption("--transport")
        findings.append(Finding(transport=transport, **fields))  # type: ignore[arg-type]
        request.node.user_properties.append((PROPERTY, asdict(findings[-1])))
        keep(name, findings)

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of this run, on the screen and in build/fault-report.md."""
    findings = [
        Finding(**row)
        for report in terminalreporter.stats.get("passed", [])
        for name, row in report.user_properties
        if name == PROPERTY
    ]
    if findings:
        text = table(findings)
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        REPORT.write_text(text + "\n")
        terminalreporter.write_line(text)
