"""What the hosts of one schedule share: clock, broker, dice, ledger, and the log that people read."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from contracts.codec import Wire, decode, encode
from contracts.errors import BadMessage
from contracts.messages import Message, Offer
from contracts.testing.clock import VirtualClock
from contracts.testing.memory_broker.broker import MemoryBroker
from contracts.testing.memory_broker.queues import Publication, QueueOptions
from contracts.timing import PARKED_TTL
from contracts.topology import (
    DEAD,
    DEAD_QUEUE,
    EXCHANGES,
    OFFERS,
    PARKED,
    PARKED_QUEUE,
    cap_queue,
)
from contracts.trust.envelope import Envelope
from contracts.trust.sealing import OF_AGENT, OF_MASTER
from tests.simulation.ledger import Ledger, Violation

if TYPE_CHECKING:
    from tests.simulation.hosts.agent_host import AgentHost
    from tests.simulation.hosts.master_host import MasterHost
    from tests.simulation.hosts.office import OfficeBridgeLink
    from tests.simulation.hosts.operator_host import OperatorHost
    from tests.simulation.plan import Plan

#: seconds since the epoch at virtual time 0
WALL = 1_700_000_000.0
#: No delivery limit (the bridge declares -1 where there is one): an offer that a busy agent gave back 20 times would be
#: dead-lettered into a circle without a rejection, which RabbitMQ drops (simulator: strict 101977).
CAP = QueueOptions(dead_letter_exchange=PARKED, max_priority=10)
PARKED_OPTIONS = QueueOptions(message_ttl=PARKED_TTL, dead_letter_exchange=OFFERS)
CLAIMS = QueueOptions(max_length_bytes=16 * 1024 * 1024, overflow="reject-publish")
#: what a message without bulk data counts towards length limits
MESSAGE_SIZE = 300


class World:
    def __init__(self, plan: Plan, *, tracing: bool = False) -> None:
        self.plan = plan
        self.clock = VirtualClock(1000.0)
        self.dice = random.Random(f"{plan.profile}/{plan.seed}/world")
        self.broker = MemoryBroker(
            self.clock,
            rng=random.Random(f"{plan.profile}/{plan.seed}/broker"),
            latency=plan.latency,
            timeout_cancels=plan.timeout_cancels,
        )
        for exchange in EXCHANGES:
            self.broker.declare_exchange(exchange.name, exchange.type.value)
        self.events_options = QueueOptions(max_length_bytes=plan.events_limit, overflow="reject-publish")
        self.ledger = Ledger()
        self.agents: list[AgentHost] = []
        self.masters: list[MasterHost] = []
        #: agents on copies of another's state folder; each goes again
        self.copies: list[AgentHost] = []
        #: operators' programs, those that have ended among them
        self.operators: list[OperatorHost] = []
        #: second masters of a name that is taken
        self.twins: list[MasterHost] = []
        #: what strangers sent, by identity; it may end in `dead`
        self.strange: list[Any] = []
        #: the last that went through the broker, for those who send it again
        self.recorded: deque[Publication] = deque(maxlen=400)
        #: the faults are over
        self.settling = False
        self.tracing = tracing
        self.log: list[tuple[float, str, str]] = []
        #: sessions that were claimed from offers that ask for a seal
        self.sealed: set[str] = set()
        #: the link of the master that is its own broker, while it is up
        self.office: OfficeBridgeLink | None = None
        #: how often its offers were handed out
        self.office_deliveries: Counter[bytes] = Counter()
        #: planted fault: wraps the inputs and actions of the machines
        self.mutant: Any = None

    def note(self, who: str, what: Callable[[], str] | str) -> None:
        """A line of the schedule. Give a function where making the text costs something."""
        if self.tracing:
            self.log.append((self.clock.now, who, what if isinstance(what, str) else what()))

    def write(self, message: Message) -> Wire:
        """As the edges write what they publish."""
        wire: Wire = self.mutant.sent(encode(message))
        if read(wire) != message:
            raise Violation("what is written is what is read", f"{message!r} is read as {read(wire)!r}")
        return wire

    def write_of_session(self, message: Message) -> Wire:
        """The same, and nothing in it is readable that must be sealed."""
        plain = isinstance(message, (*OF_MASTER, *OF_AGENT)) and message.session in self.sealed
        if plain or (isinstance(message, Offer) and message.seal and message.commands):
            raise Violation("what is sealed is nowhere in plain text", f"{message!r}")
        return self.write(message)

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.dice.random()

    def queues_changed(self) -> None:
        """A bridge declared queues: the agents hear of it through the fleet's catalogue."""
        for agent in self.agents:
            self.clock.call_later(self.between(0.0, 0.5), agent.learn_queues)

    @property
    def cap_queues(self) -> list[str]:
        if self.plan.office or self.plan.both:
            queues = sorted(cap_queue(signature) for signature in self.plan.signatures)
            return queues if self.office is not None else []
        return [name for name in self.broker.queues if name.startswith("cap.")]


def read(wire: Wire) -> Any:
    """What an edge makes of what AMQP carried: a message, or the error that says why it is none."""
    try:
        return decode(wire.body, wire.headers)
    except BadMessage as error:
        return error


def publication(
    exchange: str,
    key: str,
    wire: Wire,
    *,
    expires: float | None = None,
    priority: int = 0,
    persistent: bool = True,
    user: str = "",
    dead_lettered: bool = False,
) -> Publication:
    """What AMQP carries is the body here: one object, by which a message is known again wherever it turns up."""
    size = MESSAGE_SIZE + (len(wire.body) if wire.headers else 0)
    return Publication(
        exchange=exchange,
        routing_key=key,
        body=wire,
        size=size,
        expiration=expires,
        priority=priority,
        persistent=persistent,
        user_id=user,
        headers={"x-death": ({"count": 1},)} if dead_lettered else {},
    )


def envelope(publication: Publication) -> Envelope:
    return Envelope.of(
        exchange=publication.exchange,
        routing_key=publication.routing_key,
        user_id=publication.user_id,
        headers=publication.headers,
    )


def declare_common(channel: Any) -> None:
    """The queues that every bridge declares."""
    channel.declare(PARKED_QUEUE, PARKED_OPTIONS)
    channel.bind(PARKED_QUEUE, PARKED)
    channel.declare(DEAD_QUEUE, QueueOptions())
    channel.bind(DEAD_QUEUE, DEAD)
