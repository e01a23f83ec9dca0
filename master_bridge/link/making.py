"""Which transport a URL means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import defer

from master_bridge.link.amqp.link import Link
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
) -> BridgeLink:
    """For the transport that the URL's scheme names. `folder`: the master's; `renew_url`: of what was refused."""
    if settings.is_office:
        return OfficeLink(reactor, settings, client, folder)
    return Link(reactor, settings, client, renew_url)
