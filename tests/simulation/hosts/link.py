"""What both AMQP edges have in common: connections that live as long as the process, opened again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contracts.testing.memory_broker.connections import Connection

if TYPE_CHECKING:
    from tests.simulation.hosts.host import Host


class Link:
    """The first of `purposes` consumes, the last publishes: a resource alarm blocks the last only."""

    purposes: tuple[str, ...]

    def __init__(self, host: Host, process: int) -> None:
        self.host = host
        self.process = process
        self.up = False
        self.closed = False
        self._clock = host.world.clock
        self._open_ones: list[Connection] = []

    @property
    def connections(self) -> list[Connection]:
        return [connection for connection in self._open_ones if connection.client_open]

    @property
    def _consuming(self) -> Connection | None:
        return self._open_ones[0] if self._open_ones else None

    def connect(self) -> None:
        raise NotImplementedError

    def _open(self) -> tuple[Connection, Connection] | None:
        """(consuming, publishing), which may be one; None: not now, `connect` is called again."""
        if self.closed:
            return None
        host = self.host
        try:
            if host.unreachable:
                raise ConnectionRefusedError(f"{host.name} has no network")
            heartbeat = host.world.plan.heartbeat
            self._open_ones = [
                host.world.broker.connect(f"{host.label} {purpose}", heartbeat=heartbeat, user=host.user)
                for purpose in self.purposes
            ]
        except ConnectionRefusedError:
            self._clock.call_later(host.world.between(0.5, 1.5), self.connect)
            return None
        host.world.broker.mark_publisher(self._open_ones[-1])
        return self._open_ones[0], self._open_ones[-1]

    def _connect_later(self) -> None:
        self._clock.call_later(self.host.world.between(0.2, 1.0), self.connect)

    def dies(self) -> None:
        """All processes of the host are about to end at once: a transport may tell so."""

    def close(self, *, power_off: bool = False) -> None:
        """The process ends; without power it says no goodbye."""
        self.closed = True
        self.up = False
        for connection in self.connections:
            if power_off:
                connection.vanish()
            else:
                connection.close()
