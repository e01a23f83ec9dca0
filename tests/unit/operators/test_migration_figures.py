"""`master-bridge migrate` and the management API's figures, which are some seconds old."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from master_bridge.operating import migration
from master_bridge.operating.errors import OperatingError
from master_bridge.operating.port import QueueFigures


class Broker:
    """Its `wait` lets time pass; one queue with as many consumers as said."""

    address = SimpleNamespace(vhost="/")

    def __init__(self, clock: Clock, consumers: int) -> None:
        self._clock = clock
        self._consumers = consumers

    def queue(self, name: str) -> QueueFigures:
        return QueueFigures(name=name, ready=0, consumers=self._consumers)

    def wait(self, seconds: float) -> None:
        self._clock.now += seconds


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


class Management:
    """Says until `clear` that one message is held."""

    def __init__(self, clock: Clock, clear: float) -> None:
        self._clock = clock
        self._clear = clear

    def get(self, *_path: str) -> dict[str, int]:
        return {"messages_unacknowledged": int(self._clock.now < self._clear)}


def look(monkeypatch: pytest.MonkeyPatch, *, clear: float, consumers: int = 0) -> float:
    """Seconds until the queue was found free."""
    clock = Clock()
    monkeypatch.setattr(migration, "time", clock)
    broker: Any = Broker(clock, consumers)
    management: Any = Management(clock, 100.0 + clear)
    migration._is_free(management, broker, "cap.gtk")
    return clock.now - 100.0


def test_what_was_just_moved_is_not_taken_for_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue is looked at again until the figures have been made anew."""
    assert look(monkeypatch, clear=0) == 0
    assert look(monkeypatch, clear=5) == 5


def test_what_is_held_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """And so is, at once, what somebody consumes."""
    with pytest.raises(OperatingError, match="1 messages are held, 0 consumers"):
        look(monkeypatch, clear=3600)
    with pytest.raises(OperatingError, match="2 consumers"):
        look(monkeypatch, clear=0, consumers=2)
