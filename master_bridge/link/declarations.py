"""What the bridge declares on the broker, as data: queues with the arguments that its version understands.

Pure. Source: docs/protocol.md, "Topology" and "Traps"; measured on 3.10.8 and 4.0.5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from contracts import topology
from contracts.timing import PARKED_TTL
from master_bridge.link.settings import CLAIMS_MAX_BYTES, DEAD_MAX_LENGTH

#: `x-consumer-timeout` is honoured from here on (3.10.8 accepts and ignores it).
CONSUMER_TIMEOUT_SINCE = (3, 12)
#: Quorum queues drop a message after 20 redeliveries from here on, unless told otherwise.
DELIVERY_LIMIT_SINCE = (4, 0)
#: Quorum queues know two priorities (high: 5 and more) from here on, without an argument.
#: Classic queues take `x-max-priority`; each level costs a process's worth of memory, so few of them.
MAX_PRIORITY = 10
#: An offer is held unacknowledged for as long as its session lasts. Milliseconds; 30 days.
CONSUMER_TIMEOUT = 30 * 24 * 3600 * 1000
#: A fleet reader that does not keep up forgets the oldest status messages.
FLEET_MAX_LENGTH = 10_000

Version = tuple[int, ...]
QueueType = Literal["classic", "quorum"]


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A durable queue and its bindings (exchange, routing key)."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    bindings: tuple[tuple[str, str], ...] = ()


def parse_version(text: str) -> Version:
    """`3.10.8` as (3, 10, 8); what follows the numbers is ignored; () for nonsense."""
    found = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def _held(version: Version, queue_type: QueueType) -> dict[str, Any]:
    """Arguments of a queue whose deliveries are held unacknowledged for hours."""
    arguments: dict[str, Any] = {"x-queue-type": queue_type}
    if version >= CONSUMER_TIMEOUT_SINCE:
        arguments["x-consumer-timeout"] = CONSUMER_TIMEOUT
    if queue_type == "quorum" and version >= DELIVERY_LIMIT_SINCE:
        arguments["x-delivery-limit"] = -1
    return arguments


def offer_queue(signature: str, *, version: Version, queue_type: QueueType) -> Queue:
    """`cap.<signature>`: rejected offers go to `bb.parked`."""
    arguments = _held(version, queue_type) | {"x-dead-letter-exchange": topology.PARKED}
    if queue_type == "classic":
        arguments["x-max-priority"] = MAX_PRIORITY
    name = topology.cap_queue(signature)
    return Queue(name=name, arguments=arguments, bindings=((topology.OFFERS, name),))


def bridge_queues(master: str, *, version: Version, queue_type: QueueType, events_max_bytes: int) -> tuple[Queue, ...]:
    """The queues that every bridge needs before it can work, in the order to declare them."""
    return (
        Queue(
            name=topology.claims_queue(master),
            arguments=_held(version, queue_type)
            | {"x-max-length-bytes": CLAIMS_MAX_BYTES, "x-overflow": "reject-publish"},
            bindings=((topology.REPLIES, topology.claims_binding(master)),),
        ),
        Queue(
            name=topology.events_queue(master),
            arguments=_held(version, queue_type)
            | {"x-max-length-bytes": events_max_bytes, "x-overflow": "reject-publish"},
            bindings=((topology.REPLIES, topology.events_binding(master)),),
        ),
        Queue(
            name=topology.PARKED_QUEUE,
            arguments={
                "x-queue-type": queue_type,
                "x-message-ttl": int(PARKED_TTL * 1000),
                # without x-dead-letter-routing-key: an offer goes back under its own key, its cap.* queue's name
                "x-dead-letter-exchange": topology.OFFERS,
            },
            bindings=((topology.PARKED, ""),),
        ),
        Queue(
            name=topology.DEAD_QUEUE,
            arguments={"x-queue-type": queue_type, "x-max-length": DEAD_MAX_LENGTH, "x-overflow": "drop-head"},
            bindings=((topology.DEAD, ""),),
        ),
    )


_INEQUIVALENT = re.compile(
    r"inequivalent arg '(?P<argument>[^']+)' for (?P<kind>queue|exchange) '(?P<name>[^']+)'.*?: "
    r"received (?P<ours>.+?) but current is (?P<theirs>.+)$"
)


def explain_mismatch(text: str) -> str:
    """RabbitMQ's 406 on a declaration, as a sentence that says which argument differs and what to do."""
    found = _INEQUIVALENT.search(text)
    if found is None:
        return f"{text}; delete the queue when it is empty, or set it up as it is"
    return (
        f"{found['kind']} {found['name']} exists with another {found['argument']}: we ask for "
        f"{_value(found['ours'])}, it has {_value(found['theirs'])}. It is used as it is; to change it, drain it and "
        f"run `master-bridge migrate`, or set the bridge up as the broker is"
    )


def _value(text: str) -> str:
    quoted = re.search(r"the value '([^']*)'", text)
    if quoted:
        return quoted.group(1)
    return "none" if text.strip().startswith("none") else text.strip().strip("'")
