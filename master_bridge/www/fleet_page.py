"""What a master does for its fleet's page: hears the fleet, tells orders, keeps them, looks into `dead`."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import structlog
from twisted.internet import defer

from contracts import topology
from contracts.messages import FleetMessage, Steer
from contracts.readable import shown_lines
from master_bridge.buildbot.fleet.labels import note_order
from master_bridge.buildbot.internals.agent_builds import Durations, PendingRequests
from master_bridge.fleet.agents import TEXT_SHOWN, Known, Row
from master_bridge.fleet.columns import Waiter
from master_bridge.operating.deadletters import read
from master_bridge.www.feed import Feed
from master_bridge.www.orders import OrderRecord

log = structlog.get_logger(__name__)

#: Under this key Buildbot's database keeps the orders.
STATE_KEY = "orders"
#: Messages of `dead` that are shown, and characters of each.
DEAD_SHOWN, DEAD_TEXT = 50, 4_000
#: Seconds between two forecasts of when what waits will start; more where one takes more than this share of them: of
#: 5,000 agents that are all busy it is a tenth of a second.
FORECAST_EVERY, FORECAST_SHARE = 5.0, 0.01


class FleetPage:
    """Of one `AMQPBroker`, for as long as it runs."""

    def __init__(self, broker: Any) -> None:
        self._broker = broker
        self.feed = Feed(broker)
        self._durations = Durations(lambda: broker.master)
        self._pending = PendingRequests(lambda: broker.master)
        #: when the last one was made, and seconds until the next
        self._forecast_at, self._forecast_after = 0.0, FORECAST_EVERY
        #: since this master's start, by order and by who gave it
        self.ordered: Counter[tuple[str, str]] = Counter()

    @defer.inlineCallbacks
    def begin(self) -> Any:
        """Remember the orders of before the master's restart, and hear of requests from now on."""
        self.feed.orders.remember((yield self._broker.getState(STATE_KEY, [])))
        yield self._pending.start()

    @defer.inlineCallbacks
    def end(self) -> Any:
        """Store what the next start of the master is to know, and hear of nothing any more."""
        yield self._pending.stop()
        yield self.keep()

    def hear(self, message: FleetMessage) -> None:
        self.feed.hear(message)

    def returned(self, message: Any, address: str) -> None:
        """The broker had no queue at `address` for `message`."""
        if isinstance(message, Steer) and message.instance is not None:
            self.feed.orders.returned(address, message.instance, time.time())

    @defer.inlineCallbacks
    def look(self) -> Any:
        """Every few seconds: who is silent, orders that are to be stored, when what waits will start."""
        self.feed.tick()
        yield self.keep()
        yield self.look_at_pending()
        if self.feed.waits and time.monotonic() - self._forecast_at >= self._forecast_after:
            self._forecast_at = time.monotonic()
            took = yield self._durations.look()
            began = time.thread_time()
            self.feed.expect(took)
            self._forecast_after = max(FORECAST_EVERY, (time.thread_time() - began) / FORECAST_SHARE)
        elif not self.feed.waits:
            self.feed.expected = {}

    @defer.inlineCallbacks
    def look_at_pending(self) -> Any:
        """Which requests Buildbot has given no place, and what runs that may free one."""
        self.feed.running.look(self._broker.master.botmaster)
        pending = yield self._pending.look()
        self.feed.builders = pending.builders
        self.feed.hold_back(
            tuple(
                Waiter(request=request, title=builder, since=since, priority=priority, state="pending")
                for request, builder, since, priority in pending.requests
            )
        )

    def keep(self) -> Any:
        """Store orders that are new. A Deferred, or None."""
        if self.feed.orders.changed:
            return self._broker.setState(STATE_KEY, self.feed.orders.stored())
        return None

    def order(self, order: str, agents: list[str], *, reason: str, who: str) -> list[Known]:
        """Tell those of `agents` that are known; these are returned. Their own address is that of their last status."""
        link = self._broker.link
        told = [known for each in agents if (known := self.feed.agents.find(each)) is not None]
        if link is None or not link.up:
            return []
        for known in told:
            status = known.status
            self.feed.orders.add(
                OrderRecord(
                    when=time.time(),
                    who=who,
                    order=order,
                    agent=known.id,
                    name=known.row.get("name", ""),
                    reason=reason,
                    epoch=status.epoch,
                )
            )
            message = Steer.model_validate(
                {"order": order, "instance": status.instance, "reason": f"{reason} (ordered by {who})"}
            )
            link.send(message, status.address)
            note_order(self.ordered, order, who)
        return told

    @defer.inlineCallbacks
    def dead(self) -> Any:
        """The first messages in `dead` as JSON, and how many more there are."""
        seen, more = yield self._broker.link.peek(topology.DEAD_QUEUE, DEAD_SHOWN)
        return {"messages": [_dead_row(*each) for each in seen], "more": more}


def _dead_row(routing_key: str, properties: Any, body: bytes) -> Row:
    message = read(routing_key, properties, body)
    return {
        "id": message.id,
        "reason": message.reason[:TEXT_SHOWN],
        "queue": message.queue[:TEXT_SHOWN],
        "agent": message.agent[:TEXT_SHOWN],
        "type": message.type[:TEXT_SHOWN],
        "when": message.timestamp,
        "text": shown_lines(message.text(), DEAD_TEXT),
    }
