"""What the bridge declares on the broker, as data. What with: `contracts.rabbitmq.arguments`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contracts import topology
from contracts.rabbitmq.arguments import EVENTS_MAX_BYTES, Kind, QueueType, arguments
from contracts.rabbitmq.product import Version


@dataclass(frozen=True, kw_only=True)
class DurableQueue:
    """A durable queue and its bindings (exchange, routing key)."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    bindings: tuple[tuple[str, str], ...] = ()


def offer_queue(signature: str, *, version: Version, queue_type: QueueType) -> DurableQueue:
    """`cap.<signature>`."""
    name = topology.cap_queue(signature)
    return DurableQueue(
        name=name,
        arguments=arguments(Kind.OFFERS, version=version, queue_type=queue_type),
        bindings=((topology.OFFERS, name),),
    )


def bridge_queues(
    master: str, *, version: Version, queue_type: QueueType, events_max_bytes: int = EVENTS_MAX_BYTES
) -> tuple[DurableQueue, ...]:
    """The queues that every bridge needs before it can work, in the order to declare them."""
    queues = (
        (topology.claims_queue(master), Kind.CLAIMS, (topology.REPLIES, topology.claims_binding(master))),
        (topology.events_queue(master), Kind.EVENTS, (topology.REPLIES, topology.events_binding(master))),
        (topology.PARKED_QUEUE, Kind.PARKED, (topology.PARKED, "")),
        (topology.DEAD_QUEUE, Kind.DEAD, (topology.DEAD, "")),
    )
    return tuple(
        DurableQueue(
            name=name,
            arguments=arguments(kind, version=version, queue_type=queue_type, events_max_bytes=events_max_bytes),
            bindings=(binding,),
        )
        for name, kind, binding in queues
    )
