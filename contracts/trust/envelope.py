"""Who sent a message and by which way it came: what is believed before any of it is read. Pure.

A routing key proves nothing. RabbitMQ checks topic permissions for the key that a message is published with, but not
where a queue dead-letters to (seen up to 4.3.6), and for its headers `CC` and `BCC` only from 4.0 on (seen on 3.10.8,
4.0.5): anybody who may declare a queue with a dead-letter exchange can have any routing key written. `user_id` is a
proof: the broker refuses a publication whose `user_id` is not the user that logged in
(https://www.rabbitmq.com/docs/validated-user-id), and keeps it over dead-lettering and restarts. Source of the rules:
docs/protocol.md, rule 22.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contracts import topology
from contracts.errors import NotBelieved
from contracts.topology import key_word

#: Headers that RabbitMQ writes when it dead-letters a message.
_DEATHS = ("x-death", "x-first-death-", "x-last-death-")


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """What the broker says of a message. `user_id` is "" where the sender named none."""

    exchange: str
    routing_key: str
    user_id: str
    dead_lettered: bool

    @classmethod
    def of(
        cls,
        *,
        exchange: str | bytes | None,
        routing_key: str | bytes | None,
        user_id: str | bytes | None,
        headers: Mapping[str, Any] | None,
    ) -> Envelope:
        """pika gives bytes for what is no UTF-8, as a routing key that a queue's owner chose for its dead letters."""
        return cls(
            exchange=_text(exchange),
            routing_key=_text(routing_key),
            user_id=_text(user_id),
            dead_lettered=any(name.startswith(_DEATHS) for name in headers or () if isinstance(name, str)),
        )

    @property
    def user(self) -> str:
        """The sender's account as one word of a routing key."""
        return key_word(self.user_id)

    def of_reply(self) -> str:
        """What came to a claims or events queue: the `key_word` of who sent it. Raises `NotBelieved`."""
        self._direct(topology.REPLIES)
        parts = self.routing_key.split(".")
        if len(parts) != 3:
            raise NotBelieved(f"routing key {self.routing_key!r} is not <user>.<master>.<claims or events>")
        if self.user != parts[0]:
            raise NotBelieved(f"user {self.user} published under the routing key of user {parts[0]}")
        return self.user

    def to_agent(self, address: str) -> str:
        """What came to an agent's queue from `bb.control`: the `key_word` of who sent it. Raises `NotBelieved`."""
        self._direct(topology.CONTROL)
        if self.routing_key not in (address, topology.BROADCAST, topology.TELL):
            raise NotBelieved(f"its routing key on bb.control is {self.routing_key!r}, which is not this agent's")
        return self.user

    def to_fleet(self, key: str) -> str:
        """What is said in `bb.fleet` under `key`: the `key_word` of who sent it. Raises `NotBelieved`."""
        self._direct(topology.FLEET)
        if self.routing_key != key:
            raise NotBelieved(f"it was published as {self.routing_key!r} on bb.fleet, not as {key!r}")
        return self.user

    def _direct(self, exchange: str) -> None:
        if self.dead_lettered:
            raise NotBelieved("it was dead-lettered on its way: whose queue that was says nothing of its sender")
        if self.exchange != exchange:
            raise NotBelieved(f"it came through exchange {self.exchange!r}, not {exchange!r}")
        if not self.user_id:
            raise NotBelieved("it has no user_id: the broker does not say who sent it")


def _text(value: str | bytes | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""
