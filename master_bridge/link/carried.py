"""What a bridge's link carries both ways, whatever the transport."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from contracts import topology
from contracts.codec import Wire, encode
from contracts.errors import TooLarge
from contracts.messages import Message
from contracts.trust.envelope import Envelope

log = structlog.get_logger(__name__)

#: What goes to these exchanges is meant for agents.
SIGNED = frozenset({topology.OFFERS, topology.CONTROL, topology.FLEET})
#: The headers that sign what goes to agents: exchange, routing key, body, headers -> headers.
Sign = Callable[[str, str, bytes, Mapping[str, Any]], Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class Publication:
    """One message on its way to the broker. `message` None: raw bytes (dead letters).

    `version`: what was agreed with the agent it goes to.
    """

    exchange: str
    routing_key: str
    message: Message | None = None
    version: int | None = None
    body: bytes = b""
    headers: Mapping[str, Any] = field(default_factory=dict)
    mandatory: bool = False
    persistent: bool = False
    priority: int | None = None


def wire_of(publication: Publication, sign: Sign | None) -> Wire | None:
    """As it travels, signed where `sign` is given and it goes to agents. None: no reader would take it.

    Whoever makes messages bounds them; this is for what was forgotten there.
    """
    wire = Wire(type="", content_type="", body=publication.body)
    if publication.message is not None:
        try:
            wire = encode(publication.message, publication.version)
        except TooLarge as error:
            log.error("amqp.message_not_sent", reason=str(error), key=publication.routing_key)
            return None
    headers = {**publication.headers, **wire.headers}
    if sign is not None and publication.exchange in SIGNED:
        headers.update(sign(publication.exchange, publication.routing_key, wire.body, headers))
    return Wire(type=wire.type, content_type=wire.content_type, body=wire.body, headers=headers)


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """A message as it came, and what acknowledges it: void when its link is gone, which takes the delivery back."""

    body: bytes
    headers: dict[str, Any]
    envelope: Envelope
    queue: str
    ack: Callable[[], None]
