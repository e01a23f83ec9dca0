"""Fixtures that need a real RabbitMQ. A machine without one is an error, not a skip.

`node` is shared by all tests of a process: leave it running and unchanged. A test that stops, kills or configures a
broker makes one of its own (`own_node`, or `RabbitMQNode` with its own `config`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator
from itertools import count
from pathlib import Path

import pytest

from contracts.testing.rabbitmq.node import USER, RabbitMQNode
from tests import generated

#: Calls of rabbitmqctl take a second, so vhosts are made and deleted this many at a time.
VHOSTS_AT_ONCE = 20


class Vhosts:
    """Fresh vhosts on a node, made and deleted in batches."""

    def __init__(self, node: RabbitMQNode) -> None:
        self._node = node
        self._numbers = count(1)
        self._fresh: list[str] = []
        self._used: list[str] = []

    def take(self) -> str:
        if not self._fresh:
            self._refill()
        return self._fresh.pop(0)

    def give_back(self, vhost: str) -> None:
        """To be deleted, with all that is in it; its connections are closed then."""
        self._used.append(vhost)

    def _refill(self) -> None:
        fresh = [f"test-{next(self._numbers)}" for _ in range(VHOSTS_AT_ONCE)]
        self._node.ctl(
            "eval",
            f'lists:foreach(fun(V) -> catch rabbit_vhost:delete(V, <<"tests">>) end, [{_binaries(self._used)}]),'
            f'lists:foreach(fun(V) -> ok = rabbit_vhost:add(V, <<"tests">>), ok = rabbit_auth_backend_internal:'
            f'set_permissions(<<"{USER}">>, V, <<".*">>, <<".*">>, <<".*">>, <<"tests">>) end,'
            f" [{_binaries(fresh)}]).",
        )
        self._fresh, self._used = fresh, []


def _binaries(names: list[str]) -> str:
    """Names as elements of an Erlang list of binaries."""
    return ",".join(f'<<"{name}">>' for name in names)


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


@pytest.fixture
def own_node(tmp_path: Path) -> Iterator[RabbitMQNode]:
    """A node of this test alone, which may be killed and restarted (5 s)."""
    with RabbitMQNode(tmp_path / "rabbitmq") as running:
        yield running


@pytest.hookimpl(tryfirst=True)  # before Hypothesis' own plugin, which takes its seed here
def pytest_configure(config: pytest.Config) -> None:
    generated.configure(config)


def pytest_report_header() -> str:
    seed = generated.fresh_seed()
    return "generated tests: " + ("fixed examples" if seed is None else f"{generated.VARIABLE}={seed}")


@pytest.hookimpl(tryfirst=True)  # before the marks are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    generated.mark(items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    generated.explain(item, report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many tests of each folder ran, above the last line."""
    ran: Counter[str] = Counter()
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            folders = report.nodeid.split("::")[0].split("/")
            ran[folders[1] if len(folders) > 2 else folders[0]] += 1
    if ran:
        terminalreporter.write_line(
            "tests: " + ", ".join(f"{folder} {number}" for folder, number in sorted(ran.items()))
        )
