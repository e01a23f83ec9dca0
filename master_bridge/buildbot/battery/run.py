"""A battery that runs: tells the core what happens, carries out what it asks for, and writes both down before."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog
from twisted.internet import defer, task
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from contracts.machines.exhaustive import assert_never
from contracts.requirements.sets import Requirements
from master_bridge.buildbot.battery.connection import ShardConnection
from master_bridge.buildbot.battery.preparing import Preparation
from master_bridge.buildbot.battery.scripts import Places
from master_bridge.buildbot.battery.shard import ShardRun
from master_bridge.buildbot.battery.store import Store
from master_bridge.buildbot.search.waiting import waiting_text
from master_bridge.core.actions import Holder
from master_bridge.core.battery.battery import BatteryMachine
from master_bridge.core.battery.events import (
    Action,
    CancelShard,
    FleetSize,
    Input,
    OfferShard,
    Over,
    Settled,
    ShardReturned,
    ShardTaken,
    StartShard,
    Stopped,
)
from master_bridge.core.battery.progress import progress

log = structlog.get_logger(__name__)

#: Seconds between two looks at the fleet, and between two progress texts.
LOOK_EVERY = 2.0
#: Machines that cannot be prepared, one after the other, before the battery is given up.
UNPREPARED_MAX = 3


class GivenUp(Exception):
    """The battery cannot go on; the message says why."""


class Run:
    """`run()` fires when the battery is over. Fails with `ConnectionLost` where the master stops and will ask again,
    with `GivenUp`, and with whatever bug there is.

    `connection(shard)` makes a shard's way to an agent; `show(header, printed)` puts what it printed into a log.
    """

    def __init__(
        self,
        *,
        step: Any,
        battery: BatteryMachine,
        store: Store,
        broker: Any,
        requirements: Requirements,
        preparation: Preparation,
        places: Places,
        connection: Callable[[int], ShardConnection],
        show: Callable[[str, str], None],
    ) -> None:
        self.step = step
        self.battery = battery
        self.preparation = preparation
        self.places = places
        self._show = show
        self._store = store
        self._broker = broker
        self._requirements = requirements
        self._connection = connection
        self._shards: dict[int, ShardRun] = {}
        self._done: defer.Deferred[None] = defer.Deferred()
        self._unprepared = 0
        self._slots = -1
        #: seconds since the epoch: since when no agent runs anything
        self._since = time.time()
        self._timer: Any = None

    def run(self) -> defer.Deferred[None]:
        for number in (*self.battery.running, *self.battery.waiting):
            self._offer(number)
        self._timer = task.LoopingCall(self._look)
        self._timer.clock = self.step.master.reactor
        self._timer.start(LOOK_EVERY).addErrback(self._failed)
        if not self.battery.running and not self.battery.left:
            self._finish(None)
        return self._done

    def stop(self, reason: Any) -> None:
        """The step was stopped by somebody, or by the master's stop."""
        if not self._keeps():
            self._tell(Stopped())
        for shard in list(self._shards.values()):
            shard.interrupt(reason)

    def _keeps(self) -> bool:
        return any(shard.keeps for shard in self._shards.values())

    # ---- asked by shards

    def connect(self, shard: int) -> ShardConnection:
        return self._connection(shard)

    def taken(self, shard: int, holder: Holder) -> None:
        self._tell(ShardTaken(shard=shard, agent=holder.agent))

    def keep_report(self, shard: int, text: str) -> None:
        self._store.keep_report(shard, text)

    def show(self, header: str, printed: str) -> None:
        """Not of shards that outlive a battery that was given up: its log is closed."""
        if not self._done.called:
            self._show(header, printed)

    # ---- the core

    def _tell(self, event: Input) -> None:
        if self._done.called:
            return
        now = time.time()
        try:
            self._store.write(event, now)
            actions = self.battery.handle(event, now)
        except Exception:  # a bug, or a full disk: the step says so, and ends its shards
            self._failed(Failure())
            return
        for action in actions:
            self._carry_out(action)

    def _carry_out(self, action: Action) -> None:
        if isinstance(action, OfferShard):
            self._offer(action.shard)
        elif isinstance(action, StartShard):
            self._shards[action.shard.number].shard = action.shard
        elif isinstance(action, CancelShard):
            self._cancel(action.shard)
        elif isinstance(action, Settled):
            pass  # the battery keeps it
        elif isinstance(action, Over):
            self._finish(None)
        else:
            assert_never(action)

    def _offer(self, number: int) -> None:
        run = self._shards[number] = ShardRun(self, number)
        run.run().addCallbacks(self._told, self._failed, callbackArgs=(number,))

    def _cancel(self, number: int) -> None:
        """`stop` interrupts those that run, with Buildbot's own reason."""
        if self._shards[number].shard is None:
            self._shards.pop(number).interrupt("no agent is needed any more")

    def _told(self, event: Input | None, number: int) -> None:
        if self._shards.pop(number, None) is None:
            return
        if event is None:
            if not self._shards:
                self._finish(Failure(ConnectionLost("the master stops")))
            return
        self._unprepared = self._unprepared + 1 if isinstance(event, ShardReturned) else 0
        self._tell(event)
        if self._unprepared >= UNPREPARED_MAX and isinstance(event, ShardReturned):
            self._finish(Failure(GivenUp(event.reason)))

    def _failed(self, failure: Any) -> None:
        log.error("amqp.battery_failed", step=self.step.name, reason=failure.getTraceback())
        self._finish(failure)

    def _finish(self, failure: Any) -> None:
        if self._timer is not None and self._timer.running:
            self._timer.stop()
        if self._done.called:
            return
        self._store.close()
        done, shards = self._done, list(self._shards.values())
        if failure is None:
            done.callback(None)
        else:
            done.errback(failure)
        for shard in shards:
            shard.interrupt("the battery is given up")

    # ---- time

    def _waits(self) -> str:
        """For what, and with what prospects."""
        if self.battery.agents:
            self._since = time.time()
        return waiting_text(
            needs=self._requirements.signature,
            since=self._since,
            outlook=self._broker.fleet.outlook(self._requirements, time.monotonic()),
            state="waiting",
            down=self._broker.down_reason,
        )

    def _look(self) -> None:
        slots = 0
        for status in self._broker.fleet.agents(time.monotonic()):
            if status.state in ("ready", "starting") and self._requirements.satisfied_by(status.capabilities):
                slots += len(status.for_builds)
        if slots != self._slots:
            self._slots = slots
            self._tell(FleetSize(slots=slots))
        text = progress(self.battery, time.time(), self._waits())
        if text != self.step.progress_text:
            self.step.progress_text = text
            self.step.updateSummary()
