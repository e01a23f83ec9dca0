"""Fixtures that need a real RabbitMQ. A machine without one is an error, not a skip.

`node` is shared by all tests of a process: leave it running and unchanged. A test that stops, kills or configures a
broker makes one of its own (`own_node`, or `RabbitMQNode` with its own `config`).
"""

from __future__ import annotations

import gc
import signal
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator
from pathlib import Path

import pytest

from contracts.testing.rabbitmq.node import RabbitMQNode
from tests import file_order, generated, transport_table
from tests.faults.laboratory.proxy import Proxy
from tests.harness.tree import ROOT
from tests.harness.vhosts import Vhosts
from tests.harness.ways import RABBITMQ, TRANSPORTS, OverRabbitMQ, Way, office

#: So many new objects before a round of the garbage collector; Python's default, 700, is an eighth of unit tests' time.
_YOUNG = 10_000
#: Fixtures of `tests/buildbot` that lie between a master and its agents.
USES_TRANSPORT = frozenset({"way", "make_way", "lab", "node"})


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQNode]:
    """A running RabbitMQ node, one per test process."""
    with RabbitMQNode(tmp_path_factory.mktemp("rabbitmq")) as running:
        yield running


@pytest.fixture(scope="session")
def _vhosts(node: RabbitMQNode) -> Vhosts:
    return Vhosts(node)


@pytest.fixture
def make_vhost(node: RabbitMQNode, _vhosts: Vhosts) -> Iterator[Callable[[], str]]:
    """Makes fresh vhosts and returns their names; `node.vhost_url(name)` is the URL."""
    taken: list[str] = []

    def make() -> str:
        taken.append(_vhosts.take())
        return taken[-1]

    yield make
    for vhost in taken:
        _vhosts.give_back(vhost)


@pytest.fixture
def amqp_url(node: RabbitMQNode, make_vhost: Callable[[], str]) -> str:
    """AMQP URL of a fresh vhost on the shared node."""
    return node.vhost_url(make_vhost())


@pytest.fixture(scope="session")
def make_way(request: pytest.FixtureRequest) -> Iterator[Callable[[Path], Way]]:
    """`make_way(folder)`: between the master in that folder and its agents, until all tests of this process are over.

    For masters that several tests share; the others have `way`.
    """
    made: list[Way] = []

    def make(folder: Path) -> Way:
        if (transport := request.config.getoption("--transport")) != RABBITMQ:
            made.append(office(transport, folder))
        else:
            # Never given back: the node, which was asked for after this, has ended by then.
            node, vhosts = request.getfixturevalue("node"), request.getfixturevalue("_vhosts")
            made.append(OverRabbitMQ(node.vhost_url(vhosts.take()), node))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Way]:
    """Between this test's masters and agents."""
    made: Way
    if (transport := request.config.getoption("--transport")) != RABBITMQ:
        made = office(transport, tmp_path / "master-m1")
    else:
        made = OverRabbitMQ(request.getfixturevalue("amqp_url"), request.getfixturevalue("node"))
    yield made
    made.close()


@pytest.fixture
def proxy(node: RabbitMQNode) -> Iterator[Proxy]:
    """Before the shared node: what goes by way of `proxy.url(…)` can lose its broker, or not have it yet."""
    with Proxy(node.port) as made:
        yield made


@pytest.fixture
def own_node(tmp_path: Path) -> Iterator[RabbitMQNode]:
    """A node of this test alone, which may be killed and restarted (5 s)."""
    with RabbitMQNode(tmp_path / "rabbitmq") as running:
        yield running


@pytest.hookimpl(tryfirst=True)  # before Hypothesis' own plugin, which takes its seed here
def pytest_configure(config: pytest.Config) -> None:
    gc.disable()  # what is imported and collected stays: a look for garbage in it finds nothing
    generated.configure(config)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a shell's background; each program would ignore it, too
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("record_transports"):
        worker = getattr(config, "workerinput", {}).get("workerid")  # with `-n`; all of them collect the same
        if worker is None:
            config.pluginmanager.register(transport_table.Recorder())
        if worker in (None, "gw0"):
            config.pluginmanager.register(transport_table.RecorderOfLeftOut(config.getoption("--transport")))


def pytest_report_header() -> str:
    seed = generated.fresh_seed()
    return "generated tests: " + ("fixed examples" if seed is None else f"{generated.VARIABLE}={seed}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--transport", choices=TRANSPORTS, default=TRANSPORTS[0], help="how masters and agents of Buildbot's tests meet"
    )
    parser.addoption(
        "--record-transports",
        action="store_true",
        help=f"note in {transport_table.RECORDED.name} what passed",
    )
    parser.addoption("--record-times", action="store_true", help=f"write {file_order.TIMES.name}: what each file took")


@pytest.hookimpl(tryfirst=True)  # before the marks are read
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    generated.mark(items)
    if config.getoption("--transport") != RABBITMQ:
        _leave_out(config, items)
    if hasattr(config, "workerinput"):  # one of several processes; `make test` has xdist keep this order
        times = file_order.read(file_order.TIMES.read_text("utf-8"))
        files = file_order.longest_first((file_order.file_of(item.nodeid) for item in items), times)
        place = {file: number for number, file in enumerate(files)}
        items.sort(key=lambda item: place[file_order.file_of(item.nodeid)])


def pytest_collection_finish() -> None:
    """What was collected stays to the end: the collector of garbage need not walk through it again and again."""
    gc.freeze()
    gc.set_threshold(_YOUNG)
    gc.enable()


def _leave_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is marked as RabbitMQ's. What uses one and is not marked would count as tested over another transport."""
    left = [item for item in items if item.get_closest_marker(RABBITMQ) is not None]
    items[:] = [item for item in items if item.get_closest_marker(RABBITMQ) is None]
    config.hook.pytest_deselected(items=left)
    lying = [
        item.nodeid for item in items if item.nodeid.startswith(transport_table.BY_OPTION) and "node" in fixtures(item)
    ]
    if lying:
        raise pytest.UsageError(f"these use a RabbitMQ: mark them, or use `way`: {', '.join(lying)}")


def _transport(item: pytest.Item) -> str | None:
    """What it goes over, where that is one."""
    if item.nodeid.startswith("tests/buildbot/") and USES_TRANSPORT.isdisjoint(fixtures(item)):
        return None  # it has no master, or no agent
    return transport_table.transport_of(item.nodeid, item.config.getoption("--transport"))


def fixtures(item: pytest.Item) -> Collection[str]:
    """Names of all that a test uses, directly or not."""
    return item.fixturenames if isinstance(item, pytest.Function) else ()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    generated.explain(item, report)
    if (transport := _transport(item)) is not None:
        report.user_properties.append((transport_table.PROPERTY, transport))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """How many tests of each folder ran, above the last line."""
    if config.getoption("record_times"):
        _record_times(terminalreporter)
    ran: Counter[str] = Counter()
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            folders = report.nodeid.split("::")[0].split("/")
            ran[folders[1] if len(folders) > 2 else folders[0]] += 1
    if ran:
        terminalreporter.write_line(
            "tests: " + ", ".join(f"{folder} {number}" for folder, number in sorted(ran.items()))
        )


def _record_times(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [each for found in terminalreporter.stats.values() for each in found if hasattr(each, "duration")]
    known = file_order.read(file_order.TIMES.read_text("utf-8"))
    there = (str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py"))
    times = file_order.measured(known, ((each.nodeid, each.duration) for each in reports), there)
    file_order.TIMES.write_text(file_order.write(times), "utf-8")
