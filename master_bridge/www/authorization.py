"""Who may order agents about: a rule for Buildbot's `util.Authz`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from buildbot import config
from buildbot.www.authz.endpointmatchers import EndpointMatcherBase, Match
from twisted.internet import defer

from master_bridge.www.orders import ORDERS

#: What Buildbot's authorization is asked about; the action is "get" or an order.
ENDPOINT = ("amqp", "fleet")


class FleetEndpointMatcher(EndpointMatcherBase):
    """A rule of `util.Authz`: who may give agents orders from the fleet's page.

    Without such a rule, or another that is for everything (`AnyControlEndpointMatcher`), whoever sees the page may, as
    whoever sees a build may stop it.

    Args:
        role (text): The role that a user must have, as Buildbot's role matchers give it.
        orders (list of texts): The orders that the rule is for, of drain, resume, leave, stop, restart and probe.
            Default: all of them.
        defaultDeny (True or False): With False the next rule decides about a user who has not the role.
    """

    def __init__(self, role: str, orders: Iterable[str] | None = None, defaultDeny: bool = True) -> None:
        super().__init__(role, defaultDeny)
        self._orders = frozenset(ORDERS if orders is None else orders)
        for unknown in sorted(self._orders - set(ORDERS)):
            config.error(f"FleetEndpointMatcher: orders: {unknown!r} is none of {', '.join(ORDERS)}")

    def match(
        self, ep: Any, action: str = "get", options: dict[str, Any] | None = None
    ) -> defer.Deferred[Match | None]:
        matches = tuple(ep) == ENDPOINT and action in self._orders
        return defer.succeed(Match(self.master) if matches else None)
