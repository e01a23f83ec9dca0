"""How much of the broker a worker's account may take, where permissions say nothing of amounts. Pure.

Limits of users: https://www.rabbitmq.com/docs/user-limits. The queues that workers make are bounded by an operator
policy (https://www.rabbitmq.com/docs/policies#operator-policies): it stands beside a site's own policies, and neither
those nor the arguments of a queue go beyond it. Both are the same from 3.10 to 4.3.
"""

from __future__ import annotations

from typing import Any

#: Connections of an account at once. An agent has two, its doctor some more, and after a lost link the broker keeps the
#: former ones for a while.
MAX_CONNECTIONS = 30
#: … and channels: an agent has one for each piece of work that it holds, and a few.
MAX_CHANNELS = 2000

#: Of a worker's account all names begin so.
OWN_QUEUES = "agent"
#: One for all workers of a vhost.
POLICY_NAME = "bb-agents"
POLICY_PATTERN = rf"^{OWN_QUEUES}\."
#: Milliseconds after which a queue that nobody consumes is deleted: an agent's own is consumed while it lives.
EXPIRES = 10 * 60 * 1000
#: Messages, and bytes, that wait in one; the oldest go first. An agent that is awake has a few, of downloads some MB.
MAX_LENGTH = 100_000
MAX_BYTES = 256 * 1024 * 1024


def limits_json() -> dict[str, int]:
    """A user's limits, as RabbitMQ's command line takes them."""
    return {"max-connections": MAX_CONNECTIONS, "max-channels": MAX_CHANNELS}


def operator_policy() -> dict[str, Any]:
    """As the management API and a definitions file take it."""
    return {"pattern": POLICY_PATTERN, "apply-to": "queues", "priority": 0, "definition": policy_json()}


def policy_json() -> dict[str, int]:
    """Of an agent's queues, as RabbitMQ's command line takes it."""
    return {"expires": EXPIRES, "max-length": MAX_LENGTH, "max-length-bytes": MAX_BYTES}
