"""What agents say to the master: claims and events, each until it is acknowledged. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from contracts.codec import Wire
from master_bridge.post_office.actions import ForgetClaim, KeepClaim, TellMaster

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
    #: claims that outlive this process
    _kept: set[int] = field(default_factory=set)
    bytes: dict[str, int] = field(default_factory=lambda: {"claims": 0, "events": 0})

    def add(self, queue: Literal["claims", "events"], user: str, wire: Wire) -> TellMaster | None:
        """None: it is full. What the master gets of it comes from `next`."""
        size = _size(wire)
        if self.bytes[queue] + size > self.bytes_max:
            return None
        self._numbers += 1
        return self._put(TellMaster(delivery=self._numbers, queue=queue, user=user, wire=wire), size)

    def keep(self, told: TellMaster) -> KeepClaim:
        """It is to outlive this process: the claims queue keeps the sessions (docs/protocol.md, rule 11)."""
        self._kept.add(told.delivery)
        return KeepClaim(delivery=told.delivery, user=told.user, wire=told.wire)

    def restore(self, claims: Iterable[KeepClaim]) -> None:
        """What a former process kept comes first, in its order."""
        for claim in claims:
            self._numbers = max(self._numbers, claim.delivery)
            self._kept.add(claim.delivery)
            told = TellMaster(delivery=claim.delivery, queue="claims", user=claim.user, wire=claim.wire)
            self._put(told, _size(claim.wire))

    def _put(self, told: TellMaster, size: int) -> TellMaster:
        self.bytes[told.queue] += size
        self._events.append(told)
        return told

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

    def count(self, queue: Literal["claims", "events"]) -> tuple[int, int]:
        """How many wait, and how many the master has and is not done with."""
        ready = sum(each.queue == queue for each in self._events)
        return ready, sum(of == queue for of, _size in self._with_master.values())

    def acknowledge(self, delivery: int) -> Iterator[ForgetClaim]:
        """It is done with; a number that is not with the master is nothing."""
        queue, size = self._with_master.pop(delivery, (None, 0))
        if queue is not None:
            self.bytes[queue] -= size
            self._events_with_master -= queue == "events"
            if delivery in self._kept:
                self._kept.remove(delivery)
                yield ForgetClaim(delivery=delivery)


def _size(wire: Wire) -> int:
    return len(wire.body) + sum(len(name) + len(str(value)) for name, value in wire.headers.items())
