"""TCP ports for private servers on loopback. Standard library only."""

from __future__ import annotations

import random
import socket

#: Below Linux's ephemeral ports (32768 and up): a client that tries again and again to reach a stopped server
#: would else, sooner or later, be given the server's port as its own and keep the server from coming back.
PORTS = range(10240, 32000)


def free_ports(count: int) -> list[int]:
    """`count` different TCP ports on loopback that nobody listens on now."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.choice(PORTS)  # noqa: S311  # spreads the choice, keeps nobody out
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in ports:
            ports.append(port)
    return ports


def answers_amqp(port: int, host: str = "127.0.0.1") -> bool:
    """True when a server answers the protocol header of AMQP 0-9-1 with a method frame (specification, 4.2.2)."""
    try:
        with socket.create_connection((host, port), timeout=2) as link:
            link.sendall(b"AMQP\x00\x00\x09\x01")
            return link.recv(1) == b"\x01"
    except OSError:
        return False
