"""The two ends of a TCP connection, written so that they can be compared with what the other end sees."""

from __future__ import annotations

import ipaddress
from typing import Any

#: "ADDRESS PORT" of the agent's end, and of the master's.
Ends = tuple[str, str]


def both_ends(agents: Any, masters: Any) -> Ends:
    """Of two addresses as the socket module has them: (address, port, …)."""
    return _end(agents[0], agents[1]), _end(masters[0], masters[1])


def _end(address: str, port: int) -> str:
    """An IPv4 address that came in by an IPv6 socket is IPv4; an interface's name means nothing elsewhere."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return f"{address} {port}"
    mapped = getattr(parsed, "ipv4_mapped", None)
    return f"{parsed if mapped is None else mapped} {port}"
