"""Ways to break our own agent where operators tell it offers (rule 26) or look for files."""

from __future__ import annotations

from collections.abc import Callable

from contracts.messages import Claim, Gone, Message, Offer, Resume
from contracts.timing import DIRECT_MAX
from tests.acceptance.protocol.faults import (
    Fault,
    Memory,
    after_reconnect,
    fields,
    hears,
    instead,
    silent,
    stops,
    update,
)
from worker_agent.core import actions as do_


def _takes(where: Callable[[Offer, Memory], bool]) -> Fault:
    """Of offers that are told to it only these."""
    return hears(Offer, lambda offer, memory: [offer] if where(offer, memory) else [])


def _once(offer: Offer, memory: Memory) -> bool:
    is_new = offer.offer not in memory.seen
    memory.seen.add(offer.offer)
    return is_new


def _so_many(offer: Offer, memory: Memory) -> bool:
    memory.seen.add(offer.offer)
    return len(memory.seen) <= DIRECT_MAX


def _believes(offer: Offer, _: Memory) -> list[Message]:
    return [offer.model_copy(update={"direct": True, "kind": "build", "fencing": 120.0})]


#: id of a requirement -> a fault that breaks it
FAULTS: dict[str, Fault] = {
    "files.stat-missing": update("rc", 1),
    "operators.status": Fault(wire="no operators"),
    "operators.session": fields(Claim, ticket="made-up"),
    "operators.busy": _takes(lambda _, memory: not memory.machine._state.sessions),
    "operators.again": Fault(
        do=lambda a, _: [a, a] if isinstance(a, do_.Publish) and isinstance(a.message, Claim) else [a]
    ),
    "operators.believed": hears(Offer, _believes),
    "operators.queue": instead(do_.SendToDead, lambda a: [do_.Ack(delivery=a.delivery)]),
    "operators.room": _takes(_so_many),
    "operators.unanswered": _takes(_once),
    "operators.reconnects": after_reconnect(silent(Resume)),
    "operators.fencing": silent(Gone),
    "operators.leaving": Fault(hear=stops),
}
