"""Are exchanges and queues on the broker what a bridge declares? Looks by declaring what is there already."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import get_args

from pika import exceptions as amqp

from contracts import topology
from contracts.operations.findings import Finding
from contracts.rabbitmq.arguments import QueueType
from contracts.rabbitmq.refusals import ACCESS_REFUSED, NOT_FOUND, Differs, Refusal, refusal
from master_bridge.link.amqp.queues.declarations import DurableQueue, bridge_queues, offer_queue
from master_bridge.operating.connection import Broker


def missing_exchanges(broker: Broker) -> list[str]:
    """Those of the topology that are not there."""
    return [exchange.name for exchange in topology.EXCHANGES if not _is_there(broker, exchange.name)]


def exchanges(broker: Broker) -> Iterator[Finding]:
    """A failure for each exchange that is there as another kind of exchange."""
    for exchange in topology.EXCHANGES:
        if not _is_there(broker, exchange.name):
            continue
        try:
            broker.channel.exchange_declare(exchange.name, exchange.type.value, durable=True)
        except amqp.ChannelClosedByBroker as error:
            if error.reply_code != ACCESS_REFUSED:  # an account that may not declare may not look either
                yield _failure(refusal(error.reply_code, error.reply_text))


def queues(broker: Broker, signatures: Iterable[str], masters: Iterable[str]) -> Iterator[Finding]:
    """A finding for each queue of ours that is there otherwise than a bridge of either queue type declares it."""
    names = {topology.cap_queue(signature): signature for signature in sorted(signatures)}
    for name, signature in names.items():
        if broker.queue(name) is not None:
            yield from _compared(
                broker,
                [
                    offer_queue(signature, version=broker.product.version, queue_type=queue_type)
                    for queue_type in get_args(QueueType)
                ],
            )
    seen: set[str] = set()
    for master in [*sorted(masters), "any"]:
        both = [
            bridge_queues(master, version=broker.product.version, queue_type=queue_type)
            for queue_type in get_args(QueueType)
        ]
        for pair in zip(*both, strict=True):
            # claims.any and events.any are nobody's: of "any" only the shared ones are looked at
            if pair[0].name in seen or pair[0].name.endswith(".any") or broker.queue(pair[0].name) is None:
                continue
            seen.add(pair[0].name)
            yield from _compared(broker, pair)


def _compared(broker: Broker, choices: Iterable[DurableQueue]) -> Iterator[Finding]:
    """One queue, against what it is declared with as each type; the nearest that differs is told."""
    told: Refusal | None = None
    for queue in choices:
        try:
            broker.channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))
            return
        except amqp.ChannelClosedByBroker as error:
            if error.reply_code == ACCESS_REFUSED:
                return
            found = refusal(error.reply_code, error.reply_text)
            if told is None or (isinstance(found, Differs) and found.argument != "x-queue-type"):
                told = found
    if told is not None:
        yield _failure(told)


def _failure(found: Refusal) -> Finding:
    usable = isinstance(found, Differs) and found.usable
    sentence, _, remedy = str(found).partition(". " if isinstance(found, Differs) else ": ")
    return Finding(
        check="declarations", verdict="warn" if usable else "fail", seen=sentence, remedy=remedy or "delete it"
    )


def _is_there(broker: Broker, exchange: str) -> bool:
    try:
        broker.channel.exchange_declare(exchange, passive=True)
    except amqp.ChannelClosedByBroker as error:
        return bool(error.reply_code != NOT_FOUND)
    return True
