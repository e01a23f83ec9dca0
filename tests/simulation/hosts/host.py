"""What a machine with an agent and one with a master have in common: a process number, a network, an alarm clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from contracts.testing.clock import Timer

if TYPE_CHECKING:
    from tests.simulation.hosts.link import Link
    from tests.simulation.world import World


class Machine(Protocol):
    @property
    def deadline(self) -> float | None: ...


class Host:
    """`tick` is what the machine's deadline rings; a new number of `process` makes all that is under way void."""

    machine: Any = None
    link: Link | None = None

    def __init__(self, world: World, name: str, *, label: str | None = None) -> None:
        self.world = world
        self.name = name
        #: what its connections are called; another's than `name` where that is taken
        self.label = label or name
        #: the broker user that it logs in as
        self.user = ""
        #: this machine's wall clock runs ahead by these seconds
        self.wall_skew = world.between(-15.0, 15.0)
        #: no packet passes; new connections fail
        self.unreachable = False
        #: number of the running main process
        self.process = 0
        self._alarm: Timer | None = None

    # ---- the network

    def cut(self, *, to_server: bool = True, to_client: bool = True) -> None:
        self.unreachable = True
        if self.link is not None:
            for connection in self.link.connections:
                connection.cut(to_server=to_server, to_client=to_client)

    def heal(self) -> None:
        self.unreachable = False
        for connection in list(self.world.broker.connections) + (self.link.connections if self.link else []):
            if connection.name.startswith(f"{self.label} "):
                connection.heal()

    # ---- the clock

    def tick(self, process: int) -> None:
        raise NotImplementedError

    def rearm(self) -> None:
        """Set the alarm to the machine's deadline."""
        if self.machine is None:
            return
        deadline = self.machine.deadline
        if self._alarm is not None:
            if deadline is not None and self._alarm.when == deadline and not self._alarm.cancelled:
                return
            self.disarm()
        if deadline is not None:
            self._alarm = self.world.clock.call_at(deadline, self.tick, self.process)

    def disarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
