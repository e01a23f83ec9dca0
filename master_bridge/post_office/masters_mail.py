"""What agents say to the master: claims and events, each until it is acknowledged. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from contracts.codec import Wire
from master_bridge.post_office.actions import TellMaster

#: Events that the master has at once without having acknowledged them, as over RabbitMQ: what follows waits here.
EVENTS_AT_ONCE = 300


@dataclass
class MastersMail:
    """`bytes_max`: of what each of the two queues holds, whether the master has it or not."""

    bytes_max: int
    _numbers: int = 0
    #: delivery -> queue and bytes
    _with_master: dict[int, tuple[Literal["claims", "events"], int]] = field(default_factory=dict)
    _events: deque[TellMaster] = field(default_factory=deque)
    _events_with_master: int = 0
    bytes: dict[str, int] = field(default_factory=lambda: {"claims": 0, "events": 0})

    def add(self, queue: Literal["claims", "events"], user: str, wire: Wire) -> bool:
        """False: it is full. What the master gets of it comes from `next`."""
        size = _size(wire)
        if self.bytes[queue] + size > self.bytes_max:
            return False
        self.bytes[queue] += size
        self._numbers += 1
        self._events.append(TellMaster(delivery=self._numbers, queue=queue, user=user, wire=wire))
        return True

    def next(self) -> Iterator[TellMaster]:
        """What the master can have now: claims at once, events as it acknowledges those before."""
        kept: deque[TellMaster] = deque()
        for each in self._events:
            if each.queue == "events" and self._events_with_master >= EVENTS_AT_ONCE:
                kept.append(each)
                continue
            self._events_with_master += each.queue == "events"
            self._with_master[each.delivery] = each.queue, _size(each.wire)
            yield each
        self._events = kept

    def acknowledge(self, delivery: int) -> None:
        """It is done with; a number that is not with the master is nothing."""
        queue, size = self._with_master.pop(delivery, (None, 0))
        if queue is not None:
            self.bytes[queue] -= size
            self._events_with_master -= queue == "events"


def _size(wire: Wire) -> int:
    return len(wire.body) + sum(len(name) + len(str(value)) for name, value in wire.headers.items())
