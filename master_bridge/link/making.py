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
    staying: OfficeLink | None = None,
) -> BridgeLink:
    """For the transport that the URL's scheme names. `folder`: the master's; `renew_url`: of what was refused.

    `moving_from`: the place that the fleet is leaving, where this master is as well until all have moved. `staying`:
    what was left, and is one of the two (`stays`).
    """
    if moving_from is not None:
        old = moving_from

        def make(place: LinkSettings, renew: Callable[[], defer.Deferred[str]]) -> Callable[[LinkClient], BridgeLink]:
            return lambda side: make_link(reactor, place, side, folder=folder, renew_url=renew, staying=staying)

        return BothLinks(client, make(settings, renew_url), make(old, lambda: defer.succeed(old.url)))
    if staying is not None and staying.listens_at(settings):
        staying.take_over(client)
        return staying
    if settings.is_office:
        return OfficeLink(reactor, settings, client, folder)
    return Link(reactor, settings, client, renew_url)


def stays(link: BridgeLink | None, *places: LinkSettings | None) -> OfficeLink | None:
    """What of `link` is at one of `places` and holds all that agents there have said and wait for: it is to stay."""
    for each in link.links if isinstance(link, BothLinks) else (link,):
        if isinstance(each, OfficeLink) and each.listens_at(*places):
            return each
    return None
