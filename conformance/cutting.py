"""Ways to cut the agent's connections: a relay of our own, or the broker's management API."""

from __future__ import annotations

import time
from typing import Protocol
from urllib.parse import quote, urlsplit, urlunsplit

from conformance.errors import BadOptions
from conformance.office.office import KitOffice
from conformance.proxy import Proxy
from contracts.operations.amqp_url import BadURL, BrokerAddress, parse_url

#: Seconds until the management API has listed a new connection.
_LISTED_WITHIN = 15.0


def address_of(url: str) -> BrokerAddress:
    """Where the broker is. Raises `BadOptions`, which does not repeat the URL: it may hold a password."""
    try:
        return parse_url(url)
    except BadURL as error:
        raise BadOptions(f"url: {error}") from None


class Cutter(Protocol):
    """A way to cut all connections of the agent to the broker."""

    #: what the agent is given to connect to
    url: str

    def cut(self) -> None:
        """All connections of the agent are gone, now."""

    def close(self) -> None: ...


class ProxyCutter:
    """Plain TCP through a relay on loopback. Not for amqps://: the certificate names the broker, not the relay."""

    def __init__(self, url: str) -> None:
        address = address_of(url)
        self._proxy = Proxy(address.host, address.port)
        parts = urlsplit(url)
        user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        self.url = urlunsplit(parts._replace(netloc=f"{user}127.0.0.1:{self._proxy.port}"))

    def cut(self) -> None:
        """At once, both connections; the broker sees that too."""
        self._proxy.cut()

    def close(self) -> None:
        self._proxy.close()


class OfficeCutter:
    """Of frames: the kit holds the other end itself."""

    def __init__(self, office: KitOffice) -> None:
        self._office = office
        self.url = office.url

    def cut(self) -> None:
        """At once."""
        self._office.cut()

    def close(self) -> None:
        self._office.close()


class ManagementCutter:
    """Through the management API, which closes all connections of the vhost but the kit's: use a vhost of its own."""

    def __init__(self, url: str, management_url: str) -> None:
        import httpx  # only here: a run through the relay does without

        self.url = url
        self._vhost = quote(address_of(url).vhost, safe="")
        self._client = httpx.Client(base_url=management_url, timeout=10)

    def cut(self) -> None:
        """Waits until the API knows of a connection: it learns of new ones every 5 s only."""
        end = time.monotonic() + _LISTED_WITHIN
        while not self._close_all() and time.monotonic() < end:
            time.sleep(0.2)

    def _close_all(self) -> int:
        answer = self._client.get(f"/api/vhosts/{self._vhost}/connections")
        answer.raise_for_status()
        closed = 0
        for connection in answer.json():
            name = str(connection.get("client_properties", {}).get("connection_name", ""))
            if not name.startswith("conformance kit"):
                done = self._client.delete(f"/api/connections/{quote(connection['name'], safe='')}")
                if done.status_code != 404:  # gone by itself meanwhile
                    done.raise_for_status()
                    closed += 1
        return closed

    def close(self) -> None:
        self._client.close()
