"""The queue `dead`: what could not be read or placed. Listed, shown, sent again, dropped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pika

from contracts import topology
from contracts.codec import HEADER, decode
from contracts.errors import BadMessage
from contracts.messages import Offer
from master_bridge.operating.connection import Broker
from master_bridge.operating.errors import OperatingError

#: Letters looked at in one go: `dead` holds at most 10,000.
LIMIT = 10_000

Verdict = Literal["keep", "drop", "requeue"]


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """One message of `dead`. `id` is made of its content: two equal letters have the same."""

    id: str
    reason: str
    queue: str
    agent: str
    routing_key: str
    #: seconds since the epoch; None where its sender did not say
    timestamp: int | None
    #: the message's type as its sender named it, "" for none
    type: str
    body: bytes
    headers: dict[str, Any]

    @property
    def destination(self) -> tuple[str, str] | None:
        """Exchange and routing key that bring it back to where it came from; None: there is no way back."""
        if self.queue.startswith("cap."):
            return topology.OFFERS, self.queue
        if self.queue.startswith(("claims.", "events.")) and self.routing_key:
            return topology.REPLIES, self.routing_key
        offer = self.offer
        return (topology.OFFERS, topology.cap_queue(offer.signature)) if offer is not None else None

    @property
    def offer(self) -> Offer | None:
        try:
            message = decode(self.body, self.headers)
        except BadMessage:
            return None
        return message if isinstance(message, Offer) else None

    def text(self) -> str:
        """The body for people: JSON indented, text as it is, else its size. Without what may hold a build's secrets."""
        if HEADER in self.headers:
            return f"{len(self.body)} bytes of a command's output or file, not shown: they may hold secrets"
        try:
            return json.dumps(_without_arguments(json.loads(self.body)), indent=2, ensure_ascii=False)
        except ValueError:
            pass
        try:
            return self.body.decode("utf-8")
        except UnicodeDecodeError:
            return f"{len(self.body)} bytes that are not text"


def _without_arguments(value: Any) -> Any:
    """Commands without what they are called with."""
    if isinstance(value, list):
        return [_without_arguments(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: "not shown: may hold secrets" if key == "args" else _without_arguments(item) for key, item in value.items()
    }


def walk(broker: Broker, judge: Callable[[DeadLetter], Verdict]) -> list[DeadLetter]:
    """Look at every letter, oldest first, and do with it what `judge` says. All that was judged `keep` stays in order.

    A letter that is sent again is dropped only after the broker has confirmed the copy. Raises `OperatingError` for
    one that has no way back; nothing is lost then.
    """
    if broker.queue(topology.DEAD_QUEUE) is None:
        return []
    channel = broker.new_channel()
    letters: list[DeadLetter] = []
    kept = 0
    try:
        for _ in range(LIMIT):
            method, properties, body = channel.basic_get(topology.DEAD_QUEUE)
            if method is None:
                break
            letter = read(method.routing_key, properties, body)
            verdict = judge(letter)
            if verdict == "keep":
                kept = method.delivery_tag
            else:
                if verdict == "requeue":
                    send_again(broker, letter)
                channel.basic_ack(method.delivery_tag)
            letters.append(letter)
        if kept:
            channel.basic_nack(kept, multiple=True, requeue=True)
    finally:
        if channel.is_open:
            channel.close()  # what it still holds goes back
    return letters


def read(routing_key: str, properties: Any, body: bytes) -> DeadLetter:
    headers = dict(properties.headers or {})
    digest = hashlib.sha256(body + json.dumps(headers, sort_keys=True, default=str).encode()).hexdigest()
    return DeadLetter(
        id=digest[:10],
        reason=str(headers.get(topology.DEAD_REASON_HEADER, "")),
        queue=str(headers.get(topology.DEAD_QUEUE_HEADER, "")),
        agent=str(headers.get(topology.DEAD_AGENT_HEADER, "")),
        routing_key=routing_key,
        timestamp=properties.timestamp,
        type=properties.type or "",
        body=body,
        headers=headers,
    )


def send_again(broker: Broker, letter: DeadLetter) -> None:
    """An offer asks for a grant then (rule 16): nobody knows any more whether it ran."""
    destination = letter.destination
    if destination is None:
        raise OperatingError(
            f"{letter.id} came from {letter.queue or 'an unknown queue'}, which is gone: it can only be dropped"
        )
    offer = letter.offer
    if offer is not None:
        sent = broker.publish(*destination, offer.model_copy(update={"ask": True}))
    else:
        ours = (topology.DEAD_REASON_HEADER, topology.DEAD_QUEUE_HEADER, topology.DEAD_AGENT_HEADER)
        properties = pika.BasicProperties(
            headers={name: value for name, value in letter.headers.items() if name not in ours},
            type=letter.type or None,
            delivery_mode=2,
        )
        sent = broker.publish(*destination, letter.body, properties=properties)
    if not sent:
        raise OperatingError(f"{letter.id}: no queue takes it at {destination[0]} {destination[1]}; it stays in `dead`")
