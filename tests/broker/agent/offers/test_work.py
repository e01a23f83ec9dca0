"""An agent claims and runs work from a real broker."""

from __future__ import annotations

import pytest

from contracts.messages import Claim
from tests.broker.agent.conftest import OpenMaster, StartAgent
from tests.broker.agent.scripted_master import shell

pytestmark = pytest.mark.brokers


async def test_a_build_is_claimed_run_and_released(start_agent: StartAgent, open_master: OpenMaster) -> None:
    """An agent that satisfies a queue claims its offer, runs the commands, tells everything and acknowledges."""
    master = await open_master("gtk")
    await master.offer("gtk")
    start_agent("agent", "--capability", "gtk=3.24")

    claim = await master.wait_for(Claim)
    await master.grant(claim)
    await master.build(claim, [shell(1, "echo", "hello"), shell(2, "false")])

    events = master.events(claim.session)
    assert b"".join(event.data for event in events if event.kind == "stdout") == b"hello\n"
    assert [event.value for event in events if event.kind == "update" and event.value[0] == "rc"] == [
        ["rc", 0],
        ["rc", 1],
    ]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert claim.agent == "agent"
    second = await master.offer("gtk")  # acknowledged, or it would not take another
    assert (await master.wait_for(Claim, lambda claim: claim.offer == second.offer)).offer == second.offer
