"""`master-bridge fleet`, `queues` and `why`: what they show of real agents and queues."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable

from click.testing import Result

from contracts import topology
from contracts.messages import Claim, Work, WorkView
from tests.broker.agent.conftest import OpenMaster, StartAgent
from tests.broker.agent.scripted_master import ScriptedMaster, shell
from tests.broker.operators.conftest import RunCommand


async def test_fleet_shows_who_runs_what(
    start_agent: StartAgent, open_master: OpenMaster, master_bridge: RunCommand
) -> None:
    """Agents with slots, session, title and capabilities, and queues with depth and consumers; as a table, too."""
    master = await open_master("any", "gtk")
    start_agent("busy", "--slots", "2", "--capability", "gtk=3.24")
    offer = await master.offer("gtk", title="gtk-linux #7")
    claim = await master.wait_for(Claim)
    await master.grant(claim)
    await master.start(claim, shell(1, "sleep", "1000"))
    await master.offer("any", title="next")
    await master.grant(await master.wait_for(Claim, lambda claim: claim.offer != offer.offer))
    await master.offer("gtk", title="waits")
    work = Work(master="m1", incarnation="i", now=time.time())

    told = json.loads((await _during(master_bridge("fleet", "--json"), master, work)).output)
    (agent,) = told["agents"]
    assert (agent["agent"], agent["capabilities"]) == ("busy", {"gtk": "3.24", "sealing": "1"})
    assert agent["slots"][0]["title"] == "gtk-linux #7"
    assert time.time() - 120 < agent["slots"][0]["since"] <= time.time()
    queues = {queue["name"]: queue for queue in told["queues"]}
    assert queues["cap.gtk"]["ready"] == 1
    assert "claims.m1" in queues
    text = (await master_bridge("fleet", "--once")).output
    assert "gtk-linux #7" in text
    assert "cap.gtk" in text
    listed = json.loads((await master_bridge("queues", "--json")).output)
    assert {"name": "cap.gtk", "ready": 1, "consumers": 0, "held": None, "type": None} in listed


async def test_why_names_the_nearest_misses(
    start_agent: StartAgent, open_master: OpenMaster, master_bridge: RunCommand
) -> None:
    """A build that waits: for what, since when, what its queue holds, and what each agent lacks; unknown ones: 1."""
    master = await open_master("any", "gtk>=3")
    start_agent("builder7", "--capability", "gtk=2.24")
    await master.wait_for_consumers("any", 1)
    await master.offer("gtk>=3")
    view = WorkView(request="br-17", title="gtk #4", signature="gtk>=3", state="waiting", since=time.time() - 300)
    work = Work(master="m1", incarnation="i", now=time.time(), requests=(view,))
    result = await _during(master_bridge("why", "gtk #4"), master, work)
    lines = result.output.splitlines()
    assert lines[0].startswith("gtk #4 (br-17) of master m1: waits since ")
    assert lines[0].endswith("(5 min) for an agent with gtk>=3")
    assert lines[1:] == [
        "it is number 1 in its line",
        "queue cap.gtk:ge:3: 1 waiting in it, 0 consumers",
        "0 of 1 live agents qualify",
        "  builder7 has gtk 2.24, needs gtk>=3",
    ]
    assert "no master looks for" in (await master_bridge("why", "nothing", expect=1)).output


async def test_demand_is_the_number_for_a_scaler(
    start_agent: StartAgent, open_master: OpenMaster, master_bridge: RunCommand
) -> None:
    """What waits and what runs, of each column; of one, the number alone; 0 for one that nobody asks for."""
    master = await open_master("any")
    start_agent("builder7", "--capability", "gtk=3.24", "--slots", "2")
    await master.wait_for_consumers("any", 1)
    since = time.time() - 300
    views = tuple(
        WorkView(request=f"br-{number}", signature="gtk>=3", state=state, since=since)
        for number, state in enumerate(("waiting", "granted", "held", "missing", "none"))
    )
    work = Work(master="m1", incarnation="i", now=time.time(), requests=views, more=7)
    result = await _during(master_bridge("demand", "--json"), master, work)
    (column,) = json.loads(result.stdout)
    assert 300 <= column.pop("oldest_wait") < 400
    assert column == {
        "column": "gtk>=3", "slots": 4, "waiting": 2, "running": 2, "agents": 1, "busy": 0, "free": 2,
    }  # fmt: skip
    assert "7 requests more" in result.stderr
    assert (await _during(master_bridge("demand", "gtk>=3"), master, work)).stdout == "4\n"
    assert (await master_bridge("demand", "wx")).stdout == "0\n"
    assert "requirement" in (await master_bridge("demand", ">=3", expect=2)).output


async def _during(command: Awaitable[Result], master: ScriptedMaster, work: Work) -> Result:
    """The command's result; the master tells its work meanwhile, as a bridge does every 2 s."""
    task = asyncio.ensure_future(command)
    while not task.done():
        await master.say(work, topology.FLEET, topology.WORK_KEY)
        await asyncio.wait([task], timeout=0.3)
    return task.result()
