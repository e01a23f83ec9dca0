"""When queues must take turns: offers waited before the agent was ready for one."""

from __future__ import annotations

import pytest

from worker_agent.link.amqp.turns import Turns


@pytest.mark.parametrize(("published", "backlog"), [(9.0, True), (10.0, False), (11.0, False)])
def test_a_backlog_is_what_waited_for_the_agent(published: float, backlog: bool) -> None:
    turns = Turns(lambda: 10.0)
    turns.ready()
    turns.came(published)
    assert turns.backlog is backlog
