"""What a bridge publishes, and to which exchange with which key. Pure."""

from __future__ import annotations

from contracts import topology
from contracts.burial import headers_of
from contracts.messages import Catalogue, Message, Offer, Work
from contracts.rabbitmq.arguments import MAX_PRIORITY
from master_bridge.link.carried import Publication


def of_offer(offer: Offer, priority: int) -> Publication:
    """To its capability's queue; comes back where that is missing."""
    return Publication(
        exchange=topology.OFFERS,
        routing_key=topology.cap_queue(offer.signature),
        message=offer,
        mandatory=True,
        persistent=True,
        # also 0: what has none counts as 4 in RabbitMQ 4.3's quorum queues
        priority=_bounded(priority),
    )


def of_dead_offer(offer: Offer, priority: int, reason: str) -> Publication:
    """To `bb.dead`, with the reason for people."""
    return Publication(
        exchange=topology.DEAD,
        routing_key="",
        message=offer,
        persistent=True,
        headers=headers_of({}, reason=reason, queue="", priority=_bounded(priority)),
    )


def to_agent(message: Message, address: str, version: int) -> Publication:
    """To one agent's control queue, in this version of the protocol; comes back where nobody is at `address`."""
    return Publication(exchange=topology.CONTROL, routing_key=address, message=message, version=version, mandatory=True)


def to_all_agents(message: Message) -> Publication:
    """To every agent that is connected."""
    return Publication(exchange=topology.CONTROL, routing_key=topology.BROADCAST, message=message)


def to_ourselves(message: Message, user: str, master: str) -> Publication:
    """To the master's own claims queue, behind all that is under way there."""
    return Publication(exchange=topology.REPLIES, routing_key=topology.claims_key(user, master), message=message)


def of_catalogue(catalogue: Catalogue, made: float) -> Publication:
    """`made`: when a queue was last made that somebody had deleted, seconds since the epoch; 0: never."""
    message = catalogue.model_copy(update={"made": made})
    return Publication(exchange=topology.FLEET, routing_key=topology.CATALOGUE_KEY, message=message)


def of_work(work: Work) -> Publication:
    """What the master's requests do, for people who ask."""
    return Publication(exchange=topology.FLEET, routing_key=topology.WORK_KEY, message=work)


def _bounded(priority: int) -> int:
    """As a queue that has priorities takes it."""
    return max(0, min(MAX_PRIORITY, priority))
