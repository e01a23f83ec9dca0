"""What a bridge shows to Prometheus."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from contracts.messages import Event, ExpectedStart, Status
from contracts.operations.histogram import Histogram
from master_bridge.buildbot.fleet.figures import Figures
from master_bridge.buildbot.fleet.labels import AGENTS, OTHERS, note_order
from master_bridge.buildbot.fleet.metrics import Collector, PageCollector
from master_bridge.buildbot.fleet.view import FleetView
from master_bridge.core import actions, inputs
from master_bridge.fleet.agents import Agents
from tests.unit.bridge_edge.fleet.test_fleet import status


def test_a_histogram_counts_up_to_each_bound() -> None:
    """A value on a bound belongs to it; the last bucket has all."""
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        histogram.observe(value)
    assert histogram.buckets == [("1.0", 2.0), ("2.0", 3.0), ("+Inf", 4.0)]
    assert (histogram.count, histogram.sum) == (4, 12.0)


def test_waits_and_latencies_are_measured_once() -> None:
    """From seek to attach, and from the first claim to it; a request that is withdrawn is none."""
    figures = Figures()
    for request, at in (("br-1", 10.0), ("br-2", 11.0)):
        figures.saw(inputs.Seek(request=request, run=1, kind="build", signature="any", builddir="b", title="t"), at)
    figures.saw(inputs.Withdraw(request="br-2"), 12.0)
    attach: Any = actions.Attach.__new__(actions.Attach)
    object.__setattr__(attach, "request", "br-1")
    figures.did(attach, 14.0)
    figures.did(attach, 20.0)
    assert (figures.queue_wait.count, figures.queue_wait.sum) == (1, 4.0)
    figures.saw(inputs.MessageReceived(delivery=1, message=Event(session="s", seq=1, n=1, kind="stdout", data=b"abc"),
                                       user="u"), 20.0)  # fmt: skip
    assert figures.log_bytes == 3


def test_columns_show_free_and_busy_slots_and_who_waits_in_vain() -> None:
    """Agents that do not qualify, or take no work, do not count; a column nobody serves shows how long it waits."""
    now = time.monotonic()
    fleet = FleetView()
    for told in (status("one", "gtk=3.24"), status("two", "gtk=3.24", busy=True), status("three", "qt=6"),
                 status("four", "gtk=3.24", state="paused")):  # fmt: skip
        assert isinstance(told, Status)
        fleet.hear(told, now)
    view = SimpleNamespace(state="waiting", signature="wx", since=now - 100, stored=0, delivered=0)
    broker = SimpleNamespace(
        link=SimpleNamespace(up=True, unconfirmed=2, foreign=SimpleNamespace(heard=0)),
        fleet=fleet,
        master=SimpleNamespace(
            workers=SimpleNamespace(workers={name: SimpleNamespace(signature=name) for name in ("gtk", "wx")}),
            config=SimpleNamespace(builders=[]),
        ),
        bridge=SimpleNamespace(
            figures=Figures(), clients={}, machine=SimpleNamespace(requests=lambda: (view,))
        ),
    )  # fmt: skip
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(broker))

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"buildbot_amqp_{name}", labels)

    assert value("up") == 1.0
    assert value("unconfirmed_publications") == 2.0
    assert value("column_slots", column="gtk", state="free") == 1.0
    assert value("column_slots", column="gtk", state="busy") == 1.0
    assert value("column_agents", column="wx") == 0.0
    assert 100 <= (value("column_unserved_seconds", column="wx") or 0) < 160
    assert value("column_unserved_seconds", column="gtk") == 0.0
    assert value("requests", state="waiting") == 1.0
    assert value("queue_wait_seconds_count") == 0.0


def test_a_column_shows_what_it_wants_and_how_busy_its_machines_are() -> None:
    """Requests that wait and that run, of columns that nobody configures (a step's), too; a place between 0 and 1."""
    now = time.monotonic()
    fleet = FleetView()
    for told in (status("one", "gtk=3.24"), status("two", "gtk=3.24", busy=True)):
        assert isinstance(told, Status)
        fleet.hear(told, now)
    views = [
        SimpleNamespace(
            state=state, signature=signature, since=now - 100, stored=0, delivered=0, request="", session=None
        )
        for state, signature in (
            ("waiting", "gtk"),
            ("held", "gtk"),
            ("missing", "gtk"),
            ("granted", "qt"),
            ("unasked", ""),
        )
    ]
    value = shown(page_of(fleet, views))
    assert value("column_demand_slots", column="gtk", state="waiting") == 1
    assert value("column_demand_slots", column="gtk", state="running") == 2
    assert value("column_demand_slots", column="qt", state="waiting") == 1
    assert value("column_utilisation_ratio", column="gtk") == 0.5
    assert value("column_utilisation_ratio", column="qt") == 0
    assert 100 <= (value("column_oldest_wait_seconds", column="gtk") or 0) < 160


def test_machines_waits_and_orders_are_shown_whatever_their_names() -> None:
    """Names are others': any text, any length, any number of them; two that look the same are one series."""
    broker = page_of(FleetView(), [SimpleNamespace(state="waiting", signature="gtk", since=0.0, stored=0, delivered=0,
                                                   request="br-1", session=None)])  # fmt: skip
    wild = 'a"\\\n\x1b[2J' + "x" * 100
    for number in range(AGENTS + 50):
        told = status(f"a{number}", "gtk=3", busy=number % 2 == 0)
        assert isinstance(told, Status)
        address = f"agent.u{number}.i{number}.n"
        told = told.model_copy(update={"agent": f"{wild}{number}", "instance": f"i{number}", "address": address})
        broker.page.feed.agents.hear(told, time.time())
    broker.page.feed.expected["br-1"] = ExpectedStart(early=0.0, likely=time.time() + 600, late=time.time() + 900)
    for number in range(300):
        note_order(broker.page.ordered, "drain", f"{wild} {number}" if number == 0 else f"person {number}")
    value = shown(broker)
    lines = generate_latest(registry_of(broker)).decode().splitlines()
    assert 590 < (value("column_expected_wait_seconds", column="gtk") or 0) <= 600
    assert value("agents", state="busy") == (AGENTS + 50) / 2
    assert value("orders_total", order="drain", who=OTHERS) == 200
    assert len([line for line in lines if line.startswith("buildbot_amqp_orders_total")]) == 101
    slots = [line for line in lines if line.startswith("buildbot_amqp_agent_slots{")]
    assert len(slots) <= 2 * (AGENTS + 1)
    assert len(set(slots)) == len(slots)
    assert all(len(line) < 300 and line.isprintable() for line in lines)
    series = [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]
    assert len(set(series)) == len(series)


def page_of(fleet: FleetView, views: list[Any]) -> Any:
    """A broker with a page."""
    return SimpleNamespace(
        link=SimpleNamespace(up=True, unconfirmed=0, foreign=SimpleNamespace(heard=0)),
        fleet=fleet,
        master=SimpleNamespace(
            workers=SimpleNamespace(workers={"gtk": SimpleNamespace(signature="gtk")}),
            config=SimpleNamespace(builders=[]),
        ),
        bridge=SimpleNamespace(figures=Figures(), clients={}, machine=SimpleNamespace(requests=lambda: views)),
        page=SimpleNamespace(feed=SimpleNamespace(agents=Agents(), expected={}), ordered=Counter()),
    )


def registry_of(broker: Any) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(broker))
    registry.register(PageCollector(broker))
    return registry


def shown(broker: Any) -> Callable[..., float | None]:
    registry = registry_of(broker)
    return lambda name, **labels: registry.get_sample_value(f"buildbot_amqp_{name}", labels)
