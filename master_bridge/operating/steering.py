"""Orders to agents, and whether they were heard."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from contracts.messages import Status, Steer
from master_bridge.operating.port import OperatorsLink
from master_bridge.operating.survey import Survey, whose

Order = Literal["drain", "resume", "leave", "stop", "restart", "probe"]


def steer(
    link: OperatorsLink, agents: Iterable[Status], order: Order, reason: str
) -> tuple[list[Status], list[Status]]:
    """Tell each agent, through its own queue. Those that have it, and those that were not there any more."""
    told: list[Status] = []
    missed: list[Status] = []
    for agent in agents:
        message = Steer(order=order, instance=agent.instance, reason=reason)
        (told if link.tell(agent.address, message) else missed).append(agent)
    return told, missed


def has_happened(order: Order, before: Status, now: Status | None, left: bool) -> bool:
    """Does what the agent says show that `order` was carried out? `now`: its last status, None where it is silent or
    gone; `left`: it has said that it leaves."""
    if order == "drain":
        return now is not None and now.state == "paused"
    if order == "resume":
        return now is not None and now.state not in ("paused", "draining")
    if order in ("leave", "stop"):
        return left
    if order == "restart":
        return now is not None and now.epoch > before.epoch
    return True  # a probe shows only where something was found


def wait_for(survey: Survey, order: Order, agents: Sequence[Status], seconds: float) -> list[Status]:
    """Until all have done it, for at most so long; those that have not."""

    waiting = {whose(agent): agent for agent in agents}

    def done() -> bool:
        now = {whose(status): status for status in survey.agents}
        for key, agent in list(waiting.items()):
            if has_happened(order, agent, now.get(key), survey.has_left(agent)):
                del waiting[key]
        return not waiting

    survey.listen(seconds, until=done)
    return list(waiting.values())
