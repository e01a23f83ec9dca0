"""Which transport a URL means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import defer

from master_bridge.link.amqp.link import Link
from master_bridge.link.both import BothLinks
from master_bridge.link.client import LinkClient
from master_bridge.link.office.link import OfficeLink
from master_bridge.link.port import BridgeLink
from master_bridge.link.settings import LinkSettings


def make_link(
    reactor: Any,
    settings: LinkSettings,
    client: LinkClient,
    *,
    folder: Path,
    renew_url: Callable[[], defer.Deferred[str]],
    moving_from: LinkSettings | None = None,
) -> BridgeLink:
    """For the transport that the URL's scheme names. `folder`: the master's; `renew_url`: of what was refused.

    `moving_from`: the place that the fleet is leaving, where this master is as well until all have moved.
    """
    if moving_from is not None:
        old = moving_from
        return BothLinks(
            client,
            lambda side: make_link(reactor, settings, side, folder=folder, renew_url=renew_url),
            lambda side: make_link(reactor, old, side, folder=folder, renew_url=lambda: defer.succeed(old.url)),
        )
    if settings.is_office:
        return OfficeLink(reactor, settings, client, folder)
    return Link(reactor, settings, client, renew_url)
