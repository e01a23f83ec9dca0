"""How full the queues are and who consumes them: from the management API where there is one, else asked one by one."""

from __future__ import annotations

from contracts import topology
from master_bridge.management.client import Management
from master_bridge.operating.port import OperatorsLink, QueueFigures
from master_bridge.operating.survey import Survey

#: Queues that are asked for: one account may name many, and each is a round trip.
ASKED_MAX = 2000


def queues(
    link: OperatorsLink, survey: Survey, management: Management | None = None, *, vhost: str = ""
) -> list[QueueFigures]:
    """All queues of ours but agents' control queues, by name. `vhost`: with the management API.

    Where nobody tells all, those that masters and agents speak of; a queue of nobody's is not among them then.
    """
    if (told := link.all_queues()) is not None:
        return told
    if management is not None:
        return [
            figures
            for figures in management.queues(vhost)
            if figures.name in (topology.PARKED_QUEUE, topology.DEAD_QUEUE)
            or figures.name.startswith(("cap.", "claims.", "events."))
        ]
    names = {topology.cap_queue(signature) for signature in survey.signatures}
    names |= {queue for status in survey.agents for queue in status.queues if queue.startswith("cap.")}
    for master in survey.masters:
        names |= {topology.claims_queue(master), topology.events_queue(master)}
    names |= {topology.PARKED_QUEUE, topology.DEAD_QUEUE}
    found = (link.queue(name) for name in sorted(names)[:ASKED_MAX])
    return [figures for figures in found if figures is not None]
