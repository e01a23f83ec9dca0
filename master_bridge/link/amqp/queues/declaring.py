"""Declares exchanges, queues and bindings, and makes anew what somebody deleted while the connection lives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pika.exceptions import ChannelClosedByBroker
from twisted.internet import defer

from contracts.rabbitmq.refusals import (
    ACCESS_REFUSED,
    NOT_FOUND,
    PRECONDITION_FAILED,
    RESOURCE_LOCKED,
    Differs,
    refusal,
)
from contracts.topology import EXCHANGES
from master_bridge.link.amqp.connection.channel import Calls, code
from master_bridge.link.amqp.queues.declarations import DurableQueue
from master_bridge.link.amqp.queues.deleted import TRIES, unless_deleted
from master_bridge.link.errors import LinkError, Mismatch, NotDeclared


class Declaring:
    """What one connection has declared. One call at a time: the callers see to that.

    `differs` is called with each queue that exists otherwise than we ask and is used as it is: a wrong limit must not
    stop all builds.
    """

    def __init__(self, protocol: Any, differs: Callable[[Differs], None]) -> None:
        self._protocol = protocol
        self._tell_differs = differs
        self._calls: Calls | None = None
        #: False: this account may not make exchanges, as none does that `enroll` makes; then they are there already
        self._exchanges_ours = True
        #: the broker's words, where they are not
        self._refused = ""
        self._queues: dict[str, DurableQueue] = {}
        #: queues that exist otherwise: to ask again as we would have them closes the channel each time
        self._differing: set[str] = set()
        #: exchanges and queues that were missing, each as often as it was, since `restore` told of them
        self._missing: list[str] = []

    @defer.inlineCallbacks
    def exchanges(self) -> Any:
        """All exchanges of the topology. Raises `Mismatch` for one of another type, `NotDeclared`."""
        for exchange in EXCHANGES:
            if not self._exchanges_ours:
                yield self._found(exchange.name)
                continue
            try:
                yield self._call(
                    "exchange_declare", exchange=exchange.name, exchange_type=exchange.type.value, durable=True
                )
            except ChannelClosedByBroker as error:
                if code(error) != ACCESS_REFUSED:
                    raise _error(error) from None
                self._exchanges_ours, self._refused = False, error.reply_text
                yield self._found(exchange.name)

    @defer.inlineCallbacks
    def _found(self, exchange: str) -> Any:
        if not (yield self._is_there("exchange_declare", exchange=exchange)):
            raise NotDeclared(
                f"there is no exchange {exchange}, and the broker lets this account make none ({self._refused}): "
                "`master-bridge enroll NAME --as master --renew` makes those that are missing"
            )

    @defer.inlineCallbacks
    def queue(self, queue: DurableQueue) -> Any:
        """Declare and bind. Raises `Mismatch` for one that cannot be used as it is, `NotDeclared`.

        Its exchange, or itself, may be deleted between the two: they are made again then.
        """
        self._queues[queue.name] = queue
        yield self._declare(queue)
        yield unless_deleted(lambda: self._bind(queue), lambda: self._anew(queue))

    @defer.inlineCallbacks
    def _declare(self, queue: DurableQueue) -> Any:
        if queue.name in self._differing:
            return
        try:
            yield self._call("queue_declare", queue=queue.name, durable=True, arguments=dict(queue.arguments))
        except ChannelClosedByBroker as error:
            found = refusal(error.reply_code, error.reply_text)
            if not isinstance(found, Differs) or not found.usable:
                self._queues.pop(queue.name, None)
                raise _error(error) from None
            self._differing.add(queue.name)
            self._tell_differs(found)

    @defer.inlineCallbacks
    def _bind(self, queue: DurableQueue) -> Any:
        for exchange, key in queue.bindings:
            if queue.name in self._queues:  # else it is deleted on purpose, meanwhile
                yield self._call("queue_bind", queue=queue.name, exchange=exchange, routing_key=key)

    @defer.inlineCallbacks
    def _anew(self, queue: DurableQueue) -> Any:
        """All exchanges, and this queue, whichever of them is missing."""
        yield self.exchanges_anew()
        if (yield self._is_wanted(queue.name)):
            yield self._declare(queue)

    def forget(self, name: str) -> None:
        """The queue is deleted on purpose."""
        self._queues.pop(name, None)
        self._differing.discard(name)

    @defer.inlineCallbacks
    def exchanges_anew(self) -> Any:
        """As `exchanges`; those that are missing are told of by `restore`."""
        for exchange in EXCHANGES:
            if not (yield self._is_there("exchange_declare", exchange=exchange.name)):
                self._missing.append(exchange.name)
        yield self.exchanges()

    @defer.inlineCallbacks
    def restore(self) -> Any:
        """Declare and bind again all that was declared; fires with the names of what had been deleted.

        Whoever deletes one thing deletes others a moment later: so when something was missing, all is looked at once
        more, `TRIES` times at most. Raises what `exchanges` and `queue` raise. Nothing fails at the broker, and one
        look is all, while all is there.
        """
        for _ in range(TRIES):
            known = len(self._missing)
            yield self._look()
            if len(self._missing) == known:
                break
        made, self._missing = frozenset(self._missing), []
        return made

    @defer.inlineCallbacks
    def _look(self) -> Any:
        yield self.exchanges_anew()
        for queue in list(self._queues.values()):
            if (yield self._is_wanted(queue.name)):
                yield self.queue(queue)

    @defer.inlineCallbacks
    def _is_wanted(self, queue: str) -> Any:
        """False when it was deleted on purpose, meanwhile. Else notes whether it is missing."""
        there = yield self._is_there("queue_declare", queue=queue)
        if queue not in self._queues:
            return False
        if not there:
            self._differing.discard(queue)
            self._missing.append(queue)
        return True

    @defer.inlineCallbacks
    def _is_there(self, method: str, **which: str) -> Any:
        """Asked passively."""
        try:
            yield self._call(method, passive=True, **which)
        except ChannelClosedByBroker as error:
            if code(error) != NOT_FOUND:
                raise _error(error) from None
            return False
        return True

    @defer.inlineCallbacks
    def _call(self, method: str, **arguments: Any) -> Any:
        """On one channel for all, which is opened again after each refusal."""
        if self._calls is None or self._calls.lost is not None:
            self._calls = Calls((yield self._protocol.open_channel()))
        return (yield self._calls.call(method, **arguments))


def _error(closed: ChannelClosedByBroker) -> LinkError:
    """The two meanings of 406 are two errors; what else a declaration is refused for is there for nobody."""
    found = refusal(closed.reply_code, closed.reply_text)
    if isinstance(found, Differs):
        return Mismatch(str(found))
    if code(closed) in (PRECONDITION_FAILED, RESOURCE_LOCKED):
        return NotDeclared(str(found))
    return LinkError(f"{closed.reply_code} {closed.reply_text}")
