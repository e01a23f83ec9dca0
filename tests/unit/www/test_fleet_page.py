"""How often a master says when what waits will start."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import pytest

from master_bridge.www import fleet_page
from master_bridge.www.feed import Feed
from master_bridge.www.fleet_page import FORECAST_EVERY, FleetPage


def test_a_forecast_takes_no_more_than_a_hundredth_of_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a large fleet that is busy one takes long: the next is the later for it, until one is quick again."""
    clock = SimpleNamespace(now=1_000.0, busy=0.0)
    costs = iter([0.001, 0.2, 0.05, 0.049])
    made: list[float] = []

    def expect(_: Feed, took: object) -> None:
        assert took == {"b": [1.0]}
        made.append(clock.now)
        clock.busy += next(costs, 0.0)

    times = SimpleNamespace(time=lambda: clock.now, monotonic=lambda: clock.now, thread_time=lambda: clock.busy)
    monkeypatch.setattr(fleet_page, "time", times)
    monkeypatch.setattr(Feed, "waits", True)
    monkeypatch.setattr(Feed, "expect", expect)
    monkeypatch.setattr(FleetPage, "look_at_pending", lambda _: None)
    page = FleetPage(SimpleNamespace(master=None, bridge=None))
    page._durations = SimpleNamespace(look=lambda: {"b": [1.0]})  # type: ignore[assignment]
    while len(made) < 6:
        page.look()
        clock.now += 1.0
    gaps = [later - earlier for earlier, later in pairwise(made)]
    assert gaps == [FORECAST_EVERY, 20.0, FORECAST_EVERY, FORECAST_EVERY, FORECAST_EVERY]
