"""What somebody deletes between any two calls of a declaration, on a broker of a few lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pika.exceptions import ChannelClosedByBroker
from twisted.internet import defer

from contracts.topology import EXCHANGES, cap_queue
from master_bridge.link.amqp.queues.declarations import DurableQueue, bridge_queues, offer_queue
from master_bridge.link.amqp.queues.declaring import Declaring
from master_bridge.link.amqp.queues.deleted import TRIES

CAP = cap_queue("gtk>=3")
COLUMN = offer_queue("gtk>=3", version=(3, 10), queue_type="classic")
QUEUES = (*bridge_queues("m1", version=(3, 10), queue_type="classic"), COLUMN)
#: What one look asks while all is there.
CALLS = 2 * len(EXCHANGES) + 3 * len(QUEUES)


class Broker:
    """Exchanges, queues and bindings; each call is answered at once, `then(number)` runs after each."""

    def __init__(self) -> None:
        self.exchanges: set[str] = set()
        self.queues: set[str] = set()
        self.bindings: set[tuple[str, str]] = set()
        self.calls = 0
        self.refusals = 0
        self.then: Callable[[int], None] = lambda _number: None

    def open_channel(self) -> defer.Deferred[Any]:
        return defer.succeed(Channel(self))

    def delete(self, *names: str) -> None:
        self.exchanges -= set(names)
        self.queues -= set(names)
        self.bindings = {binding for binding in self.bindings if not set(binding) & set(names)}

    def whole(self) -> bool:
        wanted = {(queue.name, exchange) for queue in QUEUES for exchange, _ in queue.bindings}
        return self.bindings == wanted and self.exchanges == {exchange.name for exchange in EXCHANGES}


class Channel:
    """Closed by the first call for what is not there."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._closed: Callable[[Any, Exception], None] = lambda *_: None

    def add_on_close_callback(self, callback: Callable[[Any, Exception], None]) -> None:
        self._closed = callback

    def exchange_declare(self, *, callback: Any, exchange: str, passive: bool = False, **_: Any) -> None:
        self._answer(callback, not passive or exchange in self._broker.exchanges, self._broker.exchanges, exchange)

    def queue_declare(self, *, callback: Any, queue: str, passive: bool = False, **_: Any) -> None:
        self._answer(callback, not passive or queue in self._broker.queues, self._broker.queues, queue)

    def queue_bind(self, *, callback: Any, queue: str, exchange: str, routing_key: str) -> None:
        there = queue in self._broker.queues and exchange in self._broker.exchanges
        self._answer(callback, there, self._broker.bindings, (queue, exchange))

    def _answer(self, callback: Any, there: bool, names: set[Any], name: Any) -> None:
        broker = self._broker
        broker.calls += 1
        number = broker.calls
        if there:
            names.add(name)
        else:
            broker.refusals += 1
        broker.then(number)
        if there:
            callback(None)
        else:
            self._closed(self, ChannelClosedByBroker(404, f"NOT_FOUND - no {name}"))


def result(deferred: defer.Deferred[Any]) -> Any:
    """Of one that has fired; raises what it failed with."""
    found: list[Any] = []
    deferred.addCallbacks(found.append, lambda failure: found.append(failure.value))
    (value,) = found
    if isinstance(value, Exception):
        raise value
    return value


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def declaring(broker: Broker) -> Declaring:
    """All is declared."""
    declaring = Declaring(broker, lambda differs: pytest.fail(str(differs)))
    result(declaring.exchanges())
    for queue in QUEUES:
        result(declaring.queue(queue))
    assert broker.whole()
    broker.calls = 0
    return declaring


def test_a_look_at_rest_is_one(broker: Broker, declaring: Declaring) -> None:
    """Nothing fails and nothing is asked twice."""
    assert result(declaring.restore()) == frozenset()
    assert (broker.calls, broker.refusals) == (CALLS, 0)


ALL = (*(exchange.name for exchange in EXCHANGES), *(queue.name for queue in QUEUES))


@pytest.mark.parametrize("later", [("bb.offers",), (CAP,), ("bb.offers", CAP), ALL], ids=" ".join)
@pytest.mark.parametrize("first", [(), ("claims.m1",)], ids=lambda names: " ".join(names) or "nothing")
def test_a_deletion_at_each_moment_of_a_look(first: tuple[str, ...], later: tuple[str, ...]) -> None:
    """No look fails for it, the next one at the latest leaves all there, and what was missing is told."""
    moment = 0
    while True:
        moment += 1
        broker = Broker()
        declared = Declaring(broker, lambda differs: pytest.fail(str(differs)))
        result(declared.exchanges())
        for queue in QUEUES:
            result(declared.queue(queue))
        broker.calls = 0
        broker.delete(*first)
        broker.then = lambda number, broker=broker, moment=moment: broker.delete(*later) if number == moment else None  # type: ignore[misc]
        told = result(declared.restore())
        if broker.calls < moment:
            break
        told |= result(declared.restore())
        assert broker.whole(), moment
        assert {name for name in first if name in broker.queues} <= told, moment
    assert moment > CALLS


@pytest.mark.parametrize("names", [("bb.offers",), (CAP,), ("bb.offers", CAP)], ids=" ".join)
@pytest.mark.parametrize("moment", [1, 2])
def test_a_deletion_while_a_column_is_declared(broker: Broker, names: tuple[str, ...], moment: int) -> None:
    """Between its declaration and its binding, and after: the column is declared, the next look tells what was not."""
    declaring = Declaring(broker, lambda differs: pytest.fail(str(differs)))
    result(declaring.exchanges())
    broker.calls = 0
    broker.then = lambda number: broker.delete(*names) if number == moment else None
    result(declaring.queue(COLUMN))
    assert set(names) <= result(declaring.restore())
    assert (CAP, "bb.offers") in broker.bindings


def test_one_that_is_deleted_on_purpose_stays_so(broker: Broker, declaring: Declaring) -> None:
    """While a look declares it, too: its binding is not asked for, nothing fails."""

    def removed(number: int) -> None:
        if number == CALLS - 1:
            declaring.forget(CAP)
            broker.delete(CAP)

    broker.then = removed
    assert result(declaring.restore()) == frozenset()
    assert CAP not in broker.queues
    assert broker.refusals == 0


def test_what_goes_on_being_deleted_is_not_asked_for_ever(broker: Broker, declaring: Declaring) -> None:
    """The broker's refusal is raised in the end."""
    broker.then = lambda _number: broker.delete("bb.offers")
    with pytest.raises(ChannelClosedByBroker):
        result(declaring.queue(DurableQueue(name="cap.other", bindings=(("bb.offers", "cap.other"),))))
    assert broker.refusals == 2 * TRIES - 1
