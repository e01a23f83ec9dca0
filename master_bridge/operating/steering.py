"""Orders to agents, and whether they were heard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from contracts import topology
from contracts.messages import Status, Steer
from master_bridge.operating.connection import Broker
from master_bridge.operating.survey import Survey

Order = Literal["drain", "resume", "leave", "stop", "restart", "probe"]


def steer(broker: Broker, agents: Iterable[Status], order: Order, reason: str) -> tuple[list[Status], list[Status]]:
    """Tell each agent, through its own queue. Those that have it, and those that were not there any more."""
    told: list[Status] = []
    missed: list[Status] = []
    for agent in agents:
        message = Steer(order=order, instance=agent.instance, reason=reason)
        (told if broker.publish(topology.CONTROL, agent.address, message) else missed).append(agent)
    return told, missed


def has_happened(order: Order, before: Status, now: Status | None) -> bool:
    """Does the agent's status show that `order` was carried out? `now` None: it has left, or is restarting."""
    if order == "drain":
        return now is not None and now.state == "paused"
    if order == "resume":
        return now is not None and now.state not in ("paused", "draining")
    if order in ("leave", "stop"):
        return now is None
    if order == "restart":
        return now is not None and now.epoch > before.epoch
    return True  # a probe shows only where something was found


def wait_for(survey: Survey, order: Order, agents: Sequence[Status], seconds: float) -> list[Status]:
    """Until all have done it, for at most so long; those that have not."""

    def left() -> list[Status]:
        now = {status.instance: status for status in survey.agents}
        return [agent for agent in agents if not has_happened(order, agent, now.get(agent.instance))]

    done: Callable[[], bool] = lambda: not left()  # noqa: E731  # named for the reader
    survey.listen(seconds, until=done)
    return left()
