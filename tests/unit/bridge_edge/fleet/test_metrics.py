"""What a bridge shows to Prometheus."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry

from contracts.messages import Event, Status
from contracts.operations.histogram import Histogram
from master_bridge.buildbot.fleet.figures import Figures
from master_bridge.buildbot.fleet.metrics import Collector
from master_bridge.buildbot.fleet.view import FleetView
from master_bridge.core import actions, inputs
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
    import time

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
