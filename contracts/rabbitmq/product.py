"""Which broker answers: read from what it says of itself when a connection opens, here and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Version = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Product:
    """A broker by name and version; "" where it does not say."""

    name: str = ""
    #: as it says it: "3.10.8", "4.3.0-rc.1"
    text: str = ""

    @property
    def version(self) -> Version:
        """For comparisons; () when it says none, which counts as older than all."""
        return parse_version(self.text)

    def __str__(self) -> str:
        return f"{self.name} {self.text}".strip()


def introduced(properties: Mapping[str, Any] | None) -> Product:
    """The `server-properties` of connection.start (AMQP 0-9-1, 1.4.2.1), with texts as `str` or as UTF-8 bytes."""
    told = {_text(key): _text(value) for key, value in (properties or {}).items() if not isinstance(value, Mapping)}
    return Product(name=told.get("product", ""), text=told.get("version", ""))


def parse_version(text: str) -> Version:
    """`3.10.8` as (3, 10, 8); what follows the numbers is ignored; () for nonsense."""
    found = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
