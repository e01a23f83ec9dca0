"""Buildbot finds the page, and shows it only where there are agents."""

from __future__ import annotations

from importlib.metadata import entry_points, version
from typing import Any

import pytest
from buildbot.config.errors import ConfigErrors
from twisted.internet import defer

from master_bridge.buildbot.internals.whole_config import PAGE, show_page
from master_bridge.www.authorization import ENDPOINT, FleetEndpointMatcher


def test_buildbot_finds_it_with_the_programs_version() -> None:
    (found,) = entry_points(group="buildbot.www", name=PAGE)
    application = found.load()
    assert application.version.strip() == version("buildbot-amqp")
    assert {"scripts.js", "styles.css"} <= set(application.resource.listNames())


class Whole:
    """A configuration as Buildbot has read it."""

    def __init__(self, services: dict[str, Any], port: Any = 8010, plugins: Any = None) -> None:
        self.services, self.workers, self.builders = services, (), ()
        self.www = {"port": port, **({"plugins": plugins} if plugins is not None else {})}


def test_a_master_with_agents_shows_it_and_what_else_it_has() -> None:
    whole = Whole({"amqp-broker": object()}, plugins={"grid_view": {"a": 1}})
    given = whole.www["plugins"]
    show_page(whole)
    assert whole.www["plugins"] == {"grid_view": {"a": 1}, PAGE: {}}
    assert given == {"grid_view": {"a": 1}}, "what master.cfg holds is its own"


@pytest.mark.parametrize("whole", [Whole({}), Whole({"amqp-broker": object()}, port=None)])
def test_others_do_not(whole: Whole) -> None:
    show_page(whole)
    assert PAGE not in whole.www.get("plugins", {})


def test_a_rule_is_for_its_orders_only() -> None:
    rule = FleetEndpointMatcher(role="operators", orders=["drain"])
    rule.master = object()

    def matches(endpoint: tuple[str, ...], action: str) -> bool:
        found: list[Any] = []
        defer.ensureDeferred(rule.match(endpoint, action)).addCallback(found.append)
        return found[0] is not None

    assert matches(ENDPOINT, "drain")
    assert not matches(ENDPOINT, "stop")
    assert not matches(ENDPOINT, "get")
    assert not matches(("builds", "1"), "drain")


def test_an_order_that_there_is_not_is_told() -> None:
    with pytest.raises(ConfigErrors, match="orders: 'burn' is none of drain"):
        FleetEndpointMatcher(role="operators", orders=["burn"])
