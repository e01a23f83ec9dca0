"""Names on the broker, in one vhost. Source: docs/protocol.md, "Topology".

Pure: says what to declare, declares nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from contracts.errors import BadName

OFFERS = "bb.offers"
CONTROL = "bb.control"
REPLIES = "bb.replies"
PARKED = "bb.parked"
FLEET = "bb.fleet"
DEAD = "bb.dead"

PARKED_QUEUE = "parked"
DEAD_QUEUE = "dead"

#: Routing key on `bb.control` that every agent's queue is bound to (roll calls, alive).
BROADCAST = "all"
#: … and by which whoever may write to `bb.control` asks all agents for their status. The body is not read.
TELL = "tell"
#: Routing keys on `bb.fleet`.
STATUS_KEY = "status"
CATALOGUE_KEY = "catalogue"
WORK_KEY = "work"

#: With which the names begin under which operators' programs ask for agents, as masters do (docs/protocol.md, rule 26).
OPERATORS_PREFIX = "operator-"

#: Headers of what lies in `dead`: why, from which queue, and which agent put it there.
DEAD_REASON_HEADER = "bb-reason"
DEAD_QUEUE_HEADER = "bb-queue"
DEAD_AGENT_HEADER = "bb-agent"
#: … and the priority that it had, 0 to `MAX_PRIORITY`: `dead` itself keeps the order in which it was written.
DEAD_PRIORITY_HEADER = "bb-priority"
#: Header of an offer that an operator sends again: it is no first delivery (docs/protocol.md, rule 22).
AGAIN_HEADER = "bb-again"


class ExchangeType(str, Enum):
    """AMQP's type of an exchange, as the broker is told it."""

    DIRECT = "direct"
    TOPIC = "topic"
    FANOUT = "fanout"


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """An exchange of the protocol; each is durable."""

    name: str
    type: ExchangeType


#: Declared, durable and idempotently, by whoever needs them first.
EXCHANGES = (
    Exchange(name=OFFERS, type=ExchangeType.DIRECT),
    Exchange(name=CONTROL, type=ExchangeType.TOPIC),
    Exchange(name=REPLIES, type=ExchangeType.TOPIC),
    Exchange(name=PARKED, type=ExchangeType.FANOUT),
    Exchange(name=FLEET, type=ExchangeType.TOPIC),
    Exchange(name=DEAD, type=ExchangeType.FANOUT),
)

_WORD = re.compile(r"[A-Za-z0-9_-]+")
#: AMQP 0-9-1, 1.1 "shortstr": queues' names and routing keys have at most 255 bytes. The longest of ours are
#: `<user>.<master>.events` …
NAME_MAX = 128
#: … so a broker user, as `key_word` writes it, may be so long; its agent's address is shorter.
USER_MAX = 255 - NAME_MAX - len("..events")
#: Bytes of a name of a file or folder, on all file systems that matter.
COMPONENT_MAX = 255


def check_name(name: str, what: str) -> str:
    """Return `name` when it can stand as one word of a routing key; else raise `BadName`."""
    if not _WORD.fullmatch(name):
        raise BadName(f"{what} {name[:200]!r}: use only letters, digits, '-' and '_' (it is one word of a routing key)")
    if len(name) > NAME_MAX:
        raise BadName(f"{what} {name[:20]!r}…: {len(name)} characters, at most {NAME_MAX} fit into a routing key")
    return name


def check_user(user: str) -> str:
    """Return broker user `user` when it can be part of addresses and routing keys; else raise `BadName`."""
    length = len(key_word(user))
    if length > USER_MAX:
        raise BadName(
            f"broker user {user[:20]!r}…: {length} bytes in a routing key, at most {USER_MAX} fit; give it a shorter "
            "name (what is no letter, digit, '-' or '_' takes three bytes for each of its own)"
        )
    return user


def is_component(name: str) -> bool:
    """Can a file or folder have this name, on any machine?"""
    size = len(name.encode("utf-8", "surrogatepass"))
    return 0 < size <= COMPONENT_MAX and name not in (".", "..") and "/" not in name and "\0" not in name


def key_word(text: str) -> str:
    """Any text as one word of a routing key: what `check_name` refuses is written `:xx`, byte by byte."""
    if _WORD.fullmatch(text):
        return text
    return "".join(chr(byte) if _WORD.fullmatch(chr(byte)) else f":{byte:02x}" for byte in text.encode("utf-8"))


_CAP = "cap."
#: What client libraries refuse in a queue's name (pamqp 4, under aio-pika, takes letters, digits and -_.:@#,/+), and
#: how it is written there. ':' and '@' of a signature come first, since they are used by what follows.
_SPELLED = (
    (":", "#c"), ("@", "#a"), ("%", "#p"), (">=", ":ge:"), ("<=", ":le:"), ("==", ":eq:"), ("!=", ":ne:"),
    ("~=", ":about:"), (">", ":gt:"), ("<", ":lt:"), ("|", "/"), ("*", "#x"), ("!", "@"),
)  # fmt: skip


def cap_queue(signature: str) -> str:
    """Queue, and routing key on `bb.offers`, of a signature: `cap.gtk+python2.3`; `cap.gtk:ge:3` for `gtk>=3`."""
    for text, spelled in _SPELLED:
        signature = signature.replace(text, spelled)
    return _CAP + signature


def queue_signature(queue: str) -> str | None:
    """The signature that names this queue; None for a queue that is not `cap.…`."""
    if not queue.startswith(_CAP):
        return None
    signature = queue[len(_CAP) :]
    for text, spelled in reversed(_SPELLED):
        signature = signature.replace(spelled, text)
    return signature


def claims_queue(master: str) -> str:
    """Where a master gets claims, resumes, accepts and `gone`. Raises `BadName`."""
    return f"claims.{check_name(master, 'master name')}"


def events_queue(master: str) -> str:
    """Where a master gets event, pull and sealed, so that no log delays a claim. Raises `BadName`."""
    return f"events.{check_name(master, 'master name')}"


def claims_key(user: str, master: str) -> str:
    """Routing key on `bb.replies` under which broker user `user` claims at `master`."""
    return f"{key_word(user)}.{master}.claims"


def events_key(user: str, master: str) -> str:
    """Routing key of what broker user `user` publishes for that queue."""
    return f"{key_word(user)}.{master}.events"


def claims_binding(master: str) -> str:
    """Routing key of all users, with which `claims_queue` is bound."""
    return f"*.{master}.claims"


def events_binding(master: str) -> str:
    """Routing key of all users, with which `events_queue` is bound."""
    return f"*.{master}.events"


def control_address(user: str, instance: str, nonce: str) -> str:
    """Control queue and address of one connection of an agent.

    The broker user comes first so that permissions can pin a worker's account to queues of its own.
    """
    return f"agent.{key_word(user)}.{key_word(instance)}.{nonce}"


def address_user(address: str) -> str:
    """The `key_word` of the broker user an address belongs to; raises `BadName` for what is no address."""
    parts = address.split(".")
    if len(parts) != 4 or parts[0] != "agent":
        raise BadName(f"{address!r} is not an agent's address (agent.<user>.<instance>.<nonce>)")
    return parts[1]
