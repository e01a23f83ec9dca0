"""What an account of each role may do on the broker, as regular expressions. Pure.

Source: docs/how-to/security.md; RabbitMQ's access control, https://www.rabbitmq.com/docs/access-control. Publishing
needs `write` on the exchange, binding `write` on the queue and `read` on the exchange, consuming `read` on the queue;
on topic exchanges the routing key is checked as well, also that of a binding. The default exchange is `amq.default`,
which no worker may write to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from contracts import topology
from contracts.topology import cap_queue, check_name, key_word

#: Matches no name: RabbitMQ takes the empty expression for "everything" in older versions' tools.
NOTHING = "^$"


@dataclass(frozen=True, kw_only=True)
class TopicPermission:
    """By routing key on one topic exchange."""

    exchange: str
    write: str = NOTHING
    read: str = NOTHING


@dataclass(frozen=True, kw_only=True)
class Permissions:
    """Regular expressions of a user's permissions in a vhost, as RabbitMQ has them."""

    configure: str
    write: str
    read: str
    topics: tuple[TopicPermission, ...] = field(default=())


def for_worker(name: str, allow: Iterable[str] = ()) -> Permissions:
    """Its control queues, claims and events under its own name, and the `cap.*` queues of the signatures in `allow`.

    Without `allow`: all of them. Raises `BadName`.
    """
    check_name(name, "worker")
    own = rf"agent\.{re.escape(key_word(name))}\..*"
    signatures = tuple(allow)
    queues = "|".join(_literal(cap_queue(signature)) for signature in signatures) if signatures else r"cap\..*"
    word = "[A-Za-z0-9_-]+"
    return Permissions(
        configure=f"^{own}$",
        write=_any(own, *map(_literal, (topology.REPLIES, topology.FLEET, topology.DEAD))),
        read=_any(own, *map(_literal, (topology.CONTROL, topology.FLEET)), queues),
        topics=(
            TopicPermission(exchange=topology.CONTROL, read=_any(own, topology.BROADCAST, topology.TELL)),
            TopicPermission(
                exchange=topology.REPLIES, write=rf"^{re.escape(key_word(name))}\.{word}\.(claims|events)$"
            ),
            TopicPermission(
                exchange=topology.FLEET, write=f"^{topology.STATUS_KEY}$", read=f"^{topology.CATALOGUE_KEY}$"
            ),
        ),
    )


def for_master(user: str, master: str) -> Permissions:
    """All that a bridge declares, publishes and consumes; of the masters' queues only its own. Raises `BadName`.

    What agents are told no master reads. Masters of one vhost share `cap.*`, `parked`, `dead` and the exchanges: who
    must not see another's offers needs a vhost of its own (docs/how-to/security.md).
    """
    own = (_literal(topology.claims_queue(master)), _literal(topology.events_queue(master)))
    queues = (*own, topology.PARKED_QUEUE, topology.DEAD_QUEUE, r"cap\..*", r"amq\.gen.*")
    exchanges = tuple(_literal(exchange.name) for exchange in topology.EXCHANGES)
    return Permissions(
        # not exchanges: who makes one anew, of a type that has no topic permissions, reads all that is said there
        configure=_any(*queues),
        write=_any(*queues, *exchanges),
        read=_any(*queues, *exchanges),
        topics=(
            # its markers; bindings of its queues
            TopicPermission(
                exchange=topology.REPLIES,
                write=rf"^{re.escape(key_word(user))}\.{re.escape(master)}\.claims$",
                read=rf"^\*\.{re.escape(master)}\.(claims|events)$",
            ),
            TopicPermission(
                exchange=topology.CONTROL,
                write=_any(topology.BROADCAST, topology.TELL, r"agent\.[^.#*]+\.[^.]+\.[^.]+"),
            ),
            TopicPermission(
                exchange=topology.FLEET,
                write=_any(topology.CATALOGUE_KEY, topology.WORK_KEY),
                read=rf"^({topology.STATUS_KEY}|{topology.CATALOGUE_KEY}|{topology.WORK_KEY})(\.#)?$",
            ),
        ),
    )


def for_operator() -> Permissions:
    """To look, to steer, to empty `dead`, to migrate queues."""
    queues = _any(r"cap\..*", r"claims\..*", r"events\..*", topology.PARKED_QUEUE, topology.DEAD_QUEUE,
                  r"bb\..*", r"amq\.gen.*", r"migrate\..*")  # fmt: skip
    return Permissions(configure=queues, write=queues, read=queues)


def _literal(name: str) -> str:
    return re.escape(name)


def _any(*alternatives: str) -> str:
    return f"^({'|'.join(alternatives)})$"
