"""What users notice of a broker's version, for both doctors and for docs/operations.md. Pure.

Source: `tests/broker/versions`, which runs on each of `TESTED`.
"""

from __future__ import annotations

from dataclasses import dataclass

from contracts.rabbitmq.product import Version

#: Versions on which `make test-long` runs, as Debian 12, 13 and forky have them.
TESTED = ("3.10.8", "4.0.5", "4.3.6")
#: Older ones are refused; from the second on nothing is known.
OLDEST, UNKNOWN_SINCE = (3, 10), (4, 4)
#: `x-consumer-timeout` of a queue is honoured from here on.
QUEUE_CONSUMER_TIMEOUT = (3, 12)
#: A prefetch shared by a channel's consumers (`global_qos`) has to be permitted by the broker's owner from here on.
SHARED_PREFETCH_DENIED = (4, 3)


@dataclass(frozen=True, kw_only=True)
class Fact:
    """Holds from `since` on and before `before`."""

    topic: str
    text: str
    since: Version = ()
    before: Version | None = None

    def holds(self, version: Version) -> bool:
        """Is it so in RabbitMQ of this version?"""
        return self.since <= version and (self.before is None or version < self.before)


CONSUMER_TIMEOUT, PRIORITIES, PREFETCH = "consumer_timeout", "priorities", "shared prefetch"

FACTS = (
    Fact(
        topic=CONSUMER_TIMEOUT,
        before=QUEUE_CONSUMER_TIMEOUT,
        text="one for all queues, in the broker's rabbitmq.conf; an offer that is held longer is taken back with its "
        "channel",
    ),
    Fact(
        topic=CONSUMER_TIMEOUT,
        since=QUEUE_CONSUMER_TIMEOUT,
        before=(4, 3),
        text="30 days, which our queues ask for; a policy with a shorter one wins",
    ),
    Fact(
        topic=CONSUMER_TIMEOUT,
        since=(4, 3),
        text="classic queues: none; quorum queues: 30 days, which ours ask for, or a policy's shorter one, then the "
        "consumer is cancelled",
    ),
    Fact(
        topic=PRIORITIES,
        before=(4, 0),
        text="classic queues: ten levels, strictly in order; quorum queues: none, first come, first served",
    ),
    Fact(
        topic=PRIORITIES,
        since=(4, 0),
        before=(4, 3),
        text="classic queues: ten levels, strictly in order; quorum queues: two levels (5 and more are high), two high "
        "ones for each normal one",
    ),
    Fact(
        topic=PRIORITIES,
        since=(4, 3),
        text="classic queues: ten levels, strictly in order; quorum queues: strictly in order too, in 32 levels of "
        "which ten are used",
    ),
    Fact(
        topic=PREFETCH,
        before=SHARED_PREFETCH_DENIED,
        text="classic queues: used, unless the broker's owner denies global_qos; quorum queues: none; without it a "
        "busy agent may be handed one offer more of each queue, which it gives back at once",
    ),
    Fact(
        topic=PREFETCH,
        since=SHARED_PREFETCH_DENIED,
        text="not used; a busy agent may be handed one offer more of each queue, which it gives back at once",
    ),
)


def facts(version: Version) -> tuple[Fact, ...]:
    """What holds for a broker of this version, one of each topic."""
    return tuple(fact for fact in FACTS if fact.holds(version))
