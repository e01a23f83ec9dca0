"""What each kind of queue is declared with, by the broker's version and the queue's type: one table for all programs.

Source: docs/protocol.md, "Topology". Measured on 3.10.8, 4.0.5 and 4.3.6 (`tests/broker/topology/test_arguments.py`
declares every row on each of them).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from contracts import topology
from contracts.rabbitmq.product import Version
from contracts.timing import PARKED_TTL

QueueType = Literal["classic", "quorum"]

#: Levels of priority in a classic queue; each costs a process's worth of memory, so few of them.
MAX_PRIORITY = 10
#: An offer is held unacknowledged for as long as its session lasts. Milliseconds; 30 days.
CONSUMER_TIMEOUT = 30 * 24 * 3600 * 1000
#: Byte limit of `events.<master>`: what agents may publish ahead while the master is down or lags. At the limit the
#: broker rejects publishes, and agents keep events in their journals.
EVENTS_MAX_BYTES = 256 * 1024 * 1024
#: Byte limit of `claims.<master>`: while the master is down agents resume what they hold, once a minute each, with all
#: their capabilities (some 10 to 30 KB). At the limit they try again later; a claim parks its offer.
CLAIMS_MAX_BYTES = 128 * 1024 * 1024
#: So long, in milliseconds, the queues of an operator's program wait for it to connect again. Its agents wait less.
REPLIES_EXPIRE = 10 * 60 * 1000
#: Length limit of `dead`: the oldest go first, it is for people to look at.
DEAD_MAX_LENGTH = 10_000
#: A fleet reader that does not keep up forgets the oldest status messages.
FLEET_MAX_LENGTH = 10_000


class Kind(Enum):
    """What a queue is for. CONTROL and FLEET are exclusive: gone with the connection that declares them."""

    OFFERS = "cap.*"
    CLAIMS = "claims.*"
    EVENTS = "events.*"
    PARKED = topology.PARKED_QUEUE
    DEAD = topology.DEAD_QUEUE
    CONTROL = "agent.*"
    FLEET = "a reader of bb.fleet"
    #: claims and events of an operator's program (docs/protocol.md, rule 26); they outlive a link that is cut
    REPLIES = "claims.operator-*, events.operator-*"


class Setting(Enum):
    """A value that the bridge's settings name."""

    EVENTS_MAX_BYTES = "events_max_bytes"


@dataclass(frozen=True, kw_only=True)
class Argument:
    """One row: sent for these kinds of queues of these types, to brokers from `since` on and before `before`."""

    name: str
    value: int | str | Setting
    kinds: frozenset[Kind]
    types: tuple[QueueType, ...] = ("classic", "quorum")
    since: Version = ()
    before: Version | None = None


SHARED = frozenset({Kind.OFFERS, Kind.CLAIMS, Kind.EVENTS, Kind.PARKED, Kind.DEAD})
#: Their deliveries are held unacknowledged for hours.
HELD = frozenset({Kind.OFFERS, Kind.CLAIMS, Kind.EVENTS})
#: No exclusive queue can be a quorum queue, which a vhost's default type may be: so the type is always named.
EXCLUSIVE = frozenset({Kind.CONTROL, Kind.FLEET})
#: They are gone some minutes after their program: no quorum is kept for them.
OPERATORS = frozenset({Kind.REPLIES})

TABLE = (
    Argument(name="x-queue-type", value="classic", kinds=SHARED, types=("classic",)),
    Argument(name="x-queue-type", value="quorum", kinds=SHARED, types=("quorum",)),
    Argument(name="x-queue-type", value="classic", kinds=EXCLUSIVE),
    Argument(name="x-queue-type", value="classic", kinds=OPERATORS),
    Argument(name="x-expires", value=REPLIES_EXPIRE, kinds=OPERATORS),
    Argument(name="x-max-length-bytes", value=CLAIMS_MAX_BYTES, kinds=OPERATORS),
    Argument(name="x-overflow", value="reject-publish", kinds=OPERATORS),
    # Ignored before 3.12. Classic queues have no timeout from 4.3 on, and from 4.3.2 on refuse the argument.
    Argument(
        name="x-consumer-timeout", value=CONSUMER_TIMEOUT, kinds=HELD, types=("classic",), since=(3, 12), before=(4, 3)
    ),
    Argument(name="x-consumer-timeout", value=CONSUMER_TIMEOUT, kinds=HELD, types=("quorum",), since=(3, 12)),
    # From 4.0 on quorum queues drop what was given back 20 times, unless told otherwise.
    Argument(name="x-delivery-limit", value=-1, kinds=HELD, types=("quorum",), since=(4, 0)),
    # Quorum queues refuse it in every version; what they know of priorities they know without (`facts`).
    Argument(name="x-max-priority", value=MAX_PRIORITY, kinds=frozenset({Kind.OFFERS}), types=("classic",)),
    # A rejected offer is parked, and comes back under its own key, the name of its queue.
    Argument(name="x-dead-letter-exchange", value=topology.PARKED, kinds=frozenset({Kind.OFFERS})),
    Argument(name="x-dead-letter-exchange", value=topology.OFFERS, kinds=frozenset({Kind.PARKED})),
    Argument(name="x-message-ttl", value=int(PARKED_TTL * 1000), kinds=frozenset({Kind.PARKED})),
    Argument(name="x-max-length-bytes", value=CLAIMS_MAX_BYTES, kinds=frozenset({Kind.CLAIMS})),
    Argument(name="x-max-length-bytes", value=Setting.EVENTS_MAX_BYTES, kinds=frozenset({Kind.EVENTS})),
    Argument(name="x-overflow", value="reject-publish", kinds=frozenset({Kind.CLAIMS, Kind.EVENTS})),
    Argument(name="x-max-length", value=DEAD_MAX_LENGTH, kinds=frozenset({Kind.DEAD})),
    Argument(name="x-overflow", value="drop-head", kinds=frozenset({Kind.DEAD})),
    Argument(name="x-max-length", value=FLEET_MAX_LENGTH, kinds=frozenset({Kind.FLEET})),
)


def arguments(
    kind: Kind, *, version: Version, queue_type: QueueType = "classic", events_max_bytes: int = EVENTS_MAX_BYTES
) -> dict[str, Any]:
    """The arguments of one queue, as a broker of `version` wants them."""
    settings = {Setting.EVENTS_MAX_BYTES: events_max_bytes}
    return {
        row.name: settings[row.value] if isinstance(row.value, Setting) else row.value
        for row in TABLE
        if kind in row.kinds
        and queue_type in row.types
        and row.since <= version
        and (row.before is None or version < row.before)
    }
