"""Whether an agent takes work, and why not: one value says it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from worker_agent.core import inputs
from worker_agent.core.availability import Availability, Obstacle, Order

from .harness import Agent, offer

READY = Availability()

#: what is changed of an agent that takes work -> why it takes none, and its state in a status
WHY_NOT: list[tuple[dict[str, Any], Obstacle, str]] = [
    ({"order": Order.LEAVE}, Obstacle.LEAVING, "draining"),
    ({"order": Order.LEFT}, Obstacle.LEAVING, "draining"),
    ({"order": Order.PAUSE}, Obstacle.PAUSED, "paused"),
    ({"unwell": ("disk low",)}, Obstacle.UNWELL, "unwell"),
    ({"keepers_fail": True}, Obstacle.KEEPERS_FAIL, "ready"),
    ({"linked": False}, Obstacle.LINK_DOWN, "ready"),
    ({"qualifies": False}, Obstacle.NO_QUEUES, "ready"),
    ({"claiming": True}, Obstacle.CLAIMING, "ready"),
    ({"taken": 1}, Obstacle.FULL, "ready"),
]


@pytest.mark.parametrize(("change", "obstacle", "state"), WHY_NOT, ids=lambda value: str(value))
def test_each_fact_alone_keeps_work_away(change: dict[str, Any], obstacle: Obstacle, state: str) -> None:
    """And is the one reason that is told."""
    availability = replace(READY, **change)
    assert availability.obstacles == (obstacle,)
    assert not availability.takes
    assert availability.state == state
    assert READY.takes
    assert READY.texts() == ()


def test_every_obstacle_has_a_fact() -> None:
    """None is left out above."""
    assert {obstacle for _, obstacle, _ in WHY_NOT} == set(Obstacle)


def test_an_offer_in_hand_is_given_back_for_what_lasts_only() -> None:
    """Not because a slot is taken: other things decide about that."""
    closed = {obstacle for change, obstacle, _ in WHY_NOT if replace(READY, **change).closed}
    assert closed == {Obstacle.LEAVING, Obstacle.PAUSED, Obstacle.UNWELL, Obstacle.KEEPERS_FAIL}


def test_reasons_are_told_in_words() -> None:
    """With what is known of each, what people must see to first."""
    availability = replace(READY, order=Order.PAUSE, pause="new disk", unwell=("disk low", "memory low"), linked=False)
    assert availability.texts() == (
        "it is paused: new disk",
        "the machine is not fit for new work: disk low, memory low",
        "the link to the broker is down",
    )


def test_a_paused_agent_that_holds_something_drains() -> None:
    """It is paused when that has ended; a pause is not told of an agent that leaves."""
    assert replace(READY, order=Order.PAUSE, taken=1).state == "draining"
    assert replace(READY, order=Order.LEAVE, pause="new disk").texts() == ("it is leaving",)


def test_the_machine_says_what_stands() -> None:
    """From its start to a claim."""
    agent = Agent(linked=False)
    assert agent.machine.availability.obstacles == (Obstacle.LINK_DOWN, Obstacle.NO_QUEUES)
    agent.tell(inputs.QueuesKnown(queues=frozenset({"cap.gtk"})))
    agent.link_up()
    assert agent.machine.availability.takes
    agent.deliver(offer())
    assert agent.machine.availability.obstacles == (Obstacle.CLAIMING, Obstacle.FULL)
    agent.tell(inputs.MachineChecked(delivery=1, able=True))
    agent.grant()
    assert agent.machine.availability.obstacles == (Obstacle.FULL,)
    agent.tell(inputs.Wellness(reasons=("disk low",)))
    agent.tell(inputs.KeeperLost(session="s1", reason="cannot fork"))
    assert agent.machine.availability.obstacles == (Obstacle.UNWELL, Obstacle.KEEPERS_FAIL)


def test_a_pause_of_an_agent_that_leaves_is_remembered() -> None:
    """It leaves all the same; asked to work after all, it would begin with that."""
    agent = Agent()
    agent.held()
    agent.tell(inputs.Leave())
    agent.tell(inputs.Pause(reason="new disk"))
    assert (agent.machine.availability.order, agent.machine.availability.pause) == (Order.LEAVE, "new disk")
