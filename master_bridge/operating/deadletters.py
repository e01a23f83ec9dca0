"""Dead letters: what could not be read or placed. Listed, shown, sent again, dropped. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

from contracts import topology
from contracts.agent_names import agent_name
from contracts.burial import copied
from contracts.codec import HEADER, decode
from contracts.errors import BadMessage
from contracts.messages import Offer
from contracts.rabbitmq.arguments import MAX_PRIORITY
from contracts.readable import shown
from master_bridge.operating.errors import OperatingError

Verdict = Literal["keep", "drop", "requeue"]


@dataclass(frozen=True, kw_only=True)
class DeadMessage:
    """One message of `dead`. `id` is made of its content: two equal messages have the same."""

    id: str
    reason: str
    queue: str
    #: as people see it, "" where no agent put it there
    agent: str
    #: the account that put it there; "" where the broker does not say
    account: str
    routing_key: str
    #: that of the message before it was put there
    priority: int
    #: seconds since the epoch; None where its sender did not say
    timestamp: int | None
    #: the message's type as its sender named it, "" for none
    type: str
    body: bytes
    headers: dict[str, Any]

    def destination(self) -> tuple[str, str]:
        """Exchange and routing key of an offer: those of its own signature, wherever the message says that it was.

        Raises `OperatingError`, with what to do instead, for what is no offer.
        """
        offer = self.offer
        if offer is None:
            raise OperatingError(
                f"{self.id} is no offer: only offers are sent again. What an agent or a master said (from "
                f"{self.queue or 'an unknown queue'}), it says again by itself when they next connect: drop it"
            )
        return topology.OFFERS, topology.cap_queue(offer.signature)

    @property
    def offer(self) -> Offer | None:
        """The offer that it is; None: another message, or none at all."""
        try:
            read = decode(self.body, self.headers)
        except BadMessage:
            return None
        return read if isinstance(read, Offer) else None

    def text(self) -> str:
        """The body for people: JSON indented, text as it is, else its size. Without what may hold a build's secrets."""
        if HEADER in self.headers:
            return f"{len(self.body)} bytes of a command's output or file, not shown: they may hold secrets"
        try:
            return json.dumps(_without_arguments(json.loads(self.body)), indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):
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


def read(routing_key: str, properties: Any, body: bytes) -> DeadMessage:
    """A message of `bb.dead`; its digest names it in commands."""
    headers = dict(properties.headers or {})
    digest = hashlib.sha256(
        body + repr(sorted(headers.items(), key=repr)).encode("utf-8", "backslashreplace")
    ).hexdigest()
    account = topology.key_word(properties.user_id or "")
    return DeadMessage(
        id=digest[:10],
        reason=_told(headers, topology.DEAD_REASON_HEADER),
        queue=_told(headers, topology.DEAD_QUEUE_HEADER),
        agent=_agent(headers.get(topology.DEAD_AGENT_HEADER), account),
        account=account,
        routing_key=shown(routing_key),
        priority=_priority(headers.get(topology.DEAD_PRIORITY_HEADER)),
        timestamp=properties.timestamp,
        type=shown(properties.type or ""),
        body=body,
        headers=headers,
    )


def _told(headers: dict[str, Any], name: str) -> str:
    """For people, and for the beginning of a queue's name: anybody may have written it."""
    return shown(headers.get(name, ""))


def _agent(name: object, account: str) -> str:
    return "" if name is None else agent_name(str(name), account)


def _priority(value: object) -> int:
    """Anybody may have written it."""
    return max(0, min(MAX_PRIORITY, value)) if isinstance(value, int) else 0


def headers_of_again(message: DeadMessage) -> dict[str, Any]:
    """What it has when it is sent again: the bytes, the signature and the priority stay, and it is marked, so that no
    agent takes it for a first delivery (rule 22), and each asks its master for a grant (rule 16): nobody knows any more
    whether it ran. Who wrote it is unknown: it is not signed anew, for an operator's key would sign what others wrote.

    Raises `OperatingError` for headers that are none of ours.
    """
    headers, left_out = copied(message.headers)
    if left_out:
        raise OperatingError(f"{message.id}: its headers {', '.join(left_out)} are no text of ours: drop it")
    return {**headers, topology.AGAIN_HEADER: True}
