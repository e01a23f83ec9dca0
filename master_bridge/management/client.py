"""A client of RabbitMQ's management API (https://www.rabbitmq.com/docs/http-api-reference), 3.10 to 4.x."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import httpx

from master_bridge.operating.errors import NotPermitted, OperatingError
from master_bridge.operating.port import QueueFigures

#: Seconds for an answer: a broker with thousands of queues takes its time.
TIMEOUT = 20.0


class Management:
    """`url` is http[s]://user:password@host:15672; a context manager. Its errors are `OperatingError`s."""

    def __init__(self, url: str, *, ca: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise OperatingError("management URL: it looks like http://user:password@host:15672")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        netloc = f"{host}:{parts.port}" if parts.port else host
        #: without user and password
        self.where = urlunsplit((parts.scheme, netloc, parts.path, "", ""))
        self.user = unquote(parts.username or "guest")
        self._client = httpx.Client(
            base_url=self.where.rstrip("/") + "/api/",
            auth=(self.user, unquote(parts.password or "guest")),
            timeout=TIMEOUT,
            verify=_context(ca) if parts.scheme == "https" else True,
        )

    def __enter__(self) -> Management:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, *path: str) -> Any:
        """The JSON at `path`, whose parts are escaped; None for 404."""
        return self._ask("GET", path)

    def put(self, *path: str, body: Mapping[str, Any]) -> None:
        """Raises `OperatingError` where the broker refuses it or does not answer."""
        self._ask("PUT", path, body)

    def post(self, *path: str, body: Mapping[str, Any]) -> None:
        """Raises `OperatingError` where the broker refuses it or does not answer."""
        self._ask("POST", path, body)

    def delete(self, *path: str) -> bool:
        """False: it was not there."""
        return self._ask("DELETE", path) is not None

    def date(self) -> str | None:
        """The clock of the broker's machine: the header `Date` of its answers."""
        try:
            date: str | None = self._client.get("overview").headers.get("Date")
        except httpx.HTTPError:
            return None
        return date

    def queues(self, vhost: str) -> list[QueueFigures]:
        """All of a vhost, by name. Figures are up to 5 s old."""
        return sorted(
            (
                QueueFigures(
                    name=queue["name"],
                    ready=queue.get("messages_ready", 0),
                    held=queue.get("messages_unacknowledged", 0),
                    consumers=queue.get("consumers", 0),
                    type=queue.get("type"),
                )
                for queue in self.get("queues", vhost) or ()
            ),
            key=lambda figures: figures.name,
        )

    def connections_of(self, user: str) -> list[str]:
        """Names of this user's connections."""
        return [found["name"] for found in self.get("connections") or () if found.get("user") == user]

    def _ask(self, method: str, path: tuple[str, ...], body: Mapping[str, Any] | None = None) -> Any:
        address = "/".join(quote(part, safe="") for part in path)
        try:
            answer = self._client.request(method, address, json=body)
        except httpx.HTTPError as error:
            raise OperatingError(
                f"the management API at {self.where} cannot be reached ({error or type(error).__name__}): "
                "is the plugin rabbitmq_management enabled there?"
            ) from None
        if answer.status_code == 404:
            return None
        if answer.status_code in (401, 403):
            raise NotPermitted(
                f"user {self.user!r} may not {method} {address} at {self.where}: it needs the tag administrator"
            )
        if answer.is_error:
            raise OperatingError(f"{method} {address} at {self.where}: {answer.status_code} {_reason(answer)}")
        return answer.json() if answer.content else {}


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json().get("reason", answer.text))
    except ValueError:
        return answer.text


def _context(ca: str | None) -> Any:
    import ssl

    return ssl.create_default_context(cafile=ca)
