"""`master-bridge drain`, `resume`, `restart` and `stop` on real agents."""

from __future__ import annotations

from contracts.messages import Claim
from tests.broker.agent.conftest import OpenMaster, StartAgent
from tests.broker.agent.scripted_master import shell, until
from tests.broker.operators.conftest import RunCommand


async def test_drain_and_resume_by_name_and_by_requirement(
    start_agent: StartAgent, open_master: OpenMaster, master_bridge: RunCommand
) -> None:
    """Those meant are paused and come back; the other one works on; a wrong name is an error that names the living."""
    master = await open_master("any", "gtk")
    start_agent("with-gtk", "--capability", "gtk=3.24")
    start_agent("without")
    await master.wait_for_consumers("any", 2)
    result = await master_bridge("drain", "--match", "gtk>=3", "--reason", "new disk", "--wait", "20")
    assert result.output == "with-gtk: ends what it holds and takes nothing new\n"
    await master.wait_for_consumers("any", 1)
    await master.wait_for_consumers("gtk", 0)
    assert "new disk" in (await master_bridge("fleet", "--once")).output
    await master_bridge("resume", "with-gtk", "--wait", "20")
    await master.wait_for_consumers("any", 2)
    wrong = await master_bridge("drain", "with-qt", expect=1)
    assert "no agent 'with-qt' is alive; alive: with-gtk, without" in wrong.output
    await master_bridge("drain", expect=1)


async def test_restart_and_stop(start_agent: StartAgent, open_master: OpenMaster, master_bridge: RunCommand) -> None:
    """`restart --wait` sees the new connection while the build runs on; `stop` waits for its end, `--now` does not."""
    master = await open_master("any")
    agent = start_agent()
    await master.offer()
    claim = await master.wait_for(Claim)
    await master.grant(claim)
    await master.start(claim, shell(1, "sleep", "1000"))
    await master_bridge("restart", "agent", "--wait", "30")
    assert agent.child.running
    late = await master_bridge("stop", "agent", "--wait", "1", expect=1)
    assert "agent: has not done it within 1 s" in late.output
    await master_bridge("stop", "agent", "--now", "--wait", "20")
    await until(lambda: not agent.child.running, "the agent to leave")
    await master.wait_for_messages("cap.any", 1)
