"""An agent claims and runs work from a real broker."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable

from contracts.messages import Claim
from tests.broker.agent.conftest import StartAgent
from tests.broker.agent.scripted_master import ScriptedMaster, shell, until

OpenMaster = Callable[..., Awaitable[ScriptedMaster]]


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


async def test_sigterm_lets_the_build_finish(start_agent: StartAgent, open_master: OpenMaster) -> None:
    """On SIGTERM the agent ends its session, takes no new one, says that it leaves and exits with 0."""
    master = await open_master("any")
    agent = start_agent()
    first = await master.offer()
    claim = await master.wait_for(Claim)
    await master.grant(claim)
    agent.signal(signal.SIGTERM)
    await master.status(lambda status: status.state == "draining")
    await master.offer()
    await master.build(claim, [shell(1, "echo", "late")])

    await until(lambda: not agent.child.running, "the agent to leave")
    assert agent.child.end() == 0
    assert (await master.status(lambda status: status.state == "leaving")).agent == "agent"
    assert [claim.offer for claim in master.all(Claim)] == [first.offer]
    assert await master.messages_in("cap.any") == 1
