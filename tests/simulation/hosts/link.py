"""What both AMQP edges have in common: two connections that live as long as the process, opened again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contracts.testing.memory_broker.connections import Connection

if TYPE_CHECKING:
    from tests.simulation.hosts.host import Host


class Link:
    """One connection consumes, one publishes: a resource alarm blocks the second only."""

    def __init__(self, host: Host, process: int) -> None:
        self.host = host
        self.process = process
        self.up = False
        self.closed = False
        self._clock = host.world.clock
        self._consuming: Connection | None = None
        self._publishing: Connection | None = None

    @property
    def connections(self) -> list[Connection]:
        return [c for c in (self._consuming, self._publishing) if c is not None and c.client_open]

    def connect(self) -> None:
        raise NotImplementedError

    def _open(self) -> tuple[Connection, Connection] | None:
        """(consuming, publishing); None: not now, `connect` is called again."""
        if self.closed:
            return None
        host = self.host
        try:
            if host.unreachable:
                raise ConnectionRefusedError(f"{host.name} has no network")
            heartbeat = host.world.plan.heartbeat
            self._consuming = host.world.broker.connect(f"{host.label} consumes", heartbeat=heartbeat, user=host.user)
            self._publishing = host.world.broker.connect(f"{host.label} publishes", heartbeat=heartbeat, user=host.user)
        except ConnectionRefusedError:
            self._clock.call_later(host.world.between(0.5, 1.5), self.connect)
            return None
        host.world.broker.mark_publisher(self._publishing)
        return self._consuming, self._publishing

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
