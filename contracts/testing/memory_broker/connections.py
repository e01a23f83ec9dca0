"""Connections of the broker model, seen from both ends of the wire.

After a connection is lost no callback comes but `on_close`; a killed client gets none at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from contracts.testing.clock import Timer
from contracts.testing.memory_broker import channels
from contracts.testing.memory_broker.channels import Channel, ignore
from contracts.testing.memory_broker.network import Direction


class BrokerForConnections(channels.BrokerForChannels, Protocol):
    """The broker, as connections know it."""

    def latency(self) -> float: ...

    def forget(self, connection: Connection) -> None: ...


class Connection:
    """One TCP connection with its two ends. Made by `MemoryBroker.connect`."""

    def __init__(self, broker: BrokerForConnections, name: str, *, heartbeat: float, user: str) -> None:
        self.broker = broker
        self.name = name
        #: who logged in
        self.user = user
        self.heartbeat = heartbeat
        self.on_close: Callable[[str], object] = ignore
        #: `connection.blocked` and `connection.unblocked`
        self.on_blocked: Callable[[bool], object] = ignore
        self.client_open = True
        self.server_open = True
        #: it has published: only such connections are blocked by a resource alarm
        self.publishes = False
        self.channels: list[Channel] = []
        self.to_server = Direction(broker.clock, broker.latency)
        self.to_client = Direction(broker.clock, broker.latency)
        self._watchdogs: list[Timer] = []

    def channel(self) -> Channel:
        """A new channel; raises nothing, also where the broker is gone."""
        channel = Channel(self)
        self.channels.append(channel)
        return channel

    def close(self) -> None:
        """The client ends it, or is killed: what it sent arrives, then the end."""
        if self.client_open:
            self.client_open = False
            self.to_server.send(self.server_lost)

    def vanish(self) -> None:
        """The client's machine loses its power: what is under way may arrive, no end follows."""
        self.client_open = False
        self._watch(self.server_lost)

    def reset(self) -> None:
        """Both ends lose it now, with what is under way."""
        self.to_server.drop()
        self.server_lost()
        self.client_lost("connection reset by peer")

    def cut(self, *, to_server: bool = True, to_client: bool = True) -> None:
        """Packets are dropped from now on; each end notices by its heartbeat unless `heal` comes first."""
        if to_server:
            self.to_server.hold("cut")
            self._watch(self.server_lost)
        if to_client:
            self.to_client.hold("cut")
            self._watch(self.client_lost, "heartbeat missed")

    def heal(self) -> None:
        """After `cut`: what was held back arrives, and heartbeats come again."""
        for timer in self._watchdogs:
            timer.cancel()
        self._watchdogs.clear()
        self.to_server.release("cut")
        self.to_client.release("cut")
        if not self.server_open:
            self._reset_later()
        elif not self.client_open:
            self.to_server.send(self.server_lost)

    def server_lost(self) -> None:
        """The broker learns that the connection is gone: channels close, unacknowledged messages go back."""
        if not self.server_open:
            return
        self.server_open = False
        self.to_server.drop()
        for channel in self.channels:
            channel._shut()
        self.broker.forget(self)
        if self.client_open:
            self.to_client.drop()
            self._reset_later()

    def client_lost(self, reason: str) -> None:
        """The client learns that the connection is gone."""
        if self.client_open:
            self.client_open = False
            self.to_client.drop()
            self.to_server.send(self.server_lost)
            self.on_close(reason)

    def _reset_later(self) -> None:
        self.to_client.send(self.client_lost, "connection reset by peer")

    def _watch(self, lost: Callable[..., object], *args: object) -> None:
        delay = self.heartbeat * (1.0 + self.broker.fraction())
        self._watchdogs.append(self.broker.clock.call_later(delay, lost, *args))
