"""What an agent shows: metrics, health, its columns, and how often it tells its status."""

from __future__ import annotations

import asyncio
import re
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest
from aio_pika.exceptions import DeliveryError

from contracts import topology
from contracts.messages import Alive, Claim, Event, Refuse, Status
from contracts.timing import ALIVE_INTERVAL
from master_bridge.buildbot.fleet.view import FleetView
from tests.broker.agent.conftest import OpenMaster, StartAgent
from tests.broker.agent.scripted_master import ScriptedMaster, shell, until


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


async def test_metrics_and_health(start_agent: StartAgent, open_master: OpenMaster) -> None:
    """/metrics counts the claim and shows the slot at work; /live and /ready say yes, and /ready no while draining."""
    master = await open_master("any")
    agent = start_agent("agent", "--metrics-port", "0")
    await master.offer()
    claim = await master.wait_for(Claim)
    await master.grant(claim)
    await master.start(claim, shell(1, "sleep", "1000"))
    found = await until(lambda: re.search(r"http://127.0.0.1:\d+", agent.log), "the port")
    base = found.group()
    _, text = await asyncio.to_thread(get, f"{base}/metrics")
    assert "worker_agent_claims_total 1.0" in text
    assert 'worker_agent_slots{state="held"} 1.0' in text
    assert "worker_agent_up 1.0" in text
    assert [(await asyncio.to_thread(get, base + path))[0] for path in ("/live", "/ready", "/else")] == [200, 200, 404]
    status = await master.status(lambda status: bool(status.address))
    await master.steer("drain", status.address)
    await master.status(lambda status: status.state == "draining")
    assert (await asyncio.to_thread(get, f"{base}/ready"))[0] == 503


async def test_columns_are_told(start_agent: StartAgent, open_master: OpenMaster, amqp_url: str) -> None:
    """`worker-agent columns` waits for this agent's own status and prints what it serves."""
    await open_master("any", "gtk")
    agent = start_agent("agent", "--capability", "gtk")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "worker_agent", "--state", str(agent.folder / "state"), "columns", "--wait", "30",
        env={"WORKER_AGENT_AMQP_URL": amqp_url}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert (process.returncode, output.decode().split()) == (0, ["any", "gtk"])


async def test_columns_of_an_agent_that_is_not_there(tmp_path: Path, open_master: OpenMaster, amqp_url: str) -> None:
    """Nobody works with that state folder: status 1."""
    await open_master("any")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "worker_agent", "--state", str(tmp_path / "none"), "columns", "--wait", "0.5",
        env={"WORKER_AGENT_AMQP_URL": amqp_url}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    assert process.returncode == 1
    assert b"was not seen" in said


async def test_an_agent_that_serves_nothing_yet_is_seen_all_the_same(start_agent: StartAgent, amqp_url: str) -> None:
    """No master is up and no column fits: the worker is well, so a fresh installation has not failed."""
    agent = start_agent("agent", "--capability", "gtk")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "worker_agent", "--state", str(agent.folder / "state"), "columns", "--wait", "40",
        env={"WORKER_AGENT_AMQP_URL": amqp_url}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, said = await process.communicate()
    assert (process.returncode, output) == (0, b"")
    assert b"no column asks for what this machine has yet" in said


async def test_what_is_forged_is_buried_with_the_reason_and_counted(
    start_agent: StartAgent, open_master: OpenMaster
) -> None:
    """A message that no bridge sends, another master's word on this one's session: to `dead`; the work goes on."""
    master = await open_master("any")
    agent = start_agent("agent", "--metrics-port", "0")
    await master.offer()
    claim = await master.wait_for(Claim)
    await master.grant(claim)
    forged = (
        Event(session=claim.session, seq=1, n=1, kind="stdout"),
        Refuse(session=claim.session, master="mallory", re="resume", reason="mine now"),
    )
    for message in forged:
        await master.say(message, topology.CONTROL, claim.address)
    await master.wait_for_messages(topology.DEAD_QUEUE, 2)
    queue = await master.channel.get_queue(topology.DEAD_QUEUE)
    reasons = [str((await queue.get()).headers[topology.DEAD_REASON_HEADER]) for _ in forged]
    assert "a message of type 'event' is not for an agent" in reasons[0]
    assert f"master mallory (user guest) spoke of session {claim.session}, which is master m1's" in reasons[1]
    found = await until(lambda: re.search(r"http://127.0.0.1:\d+", agent.log), "the port")
    base = found.group()
    _, text = await asyncio.to_thread(get, f"{base}/metrics")
    assert "worker_agent_dead_letters_total 2.0" in text
    await master.start(claim, shell(1, "true"))
    await master.completed(claim, 1)


@asynccontextmanager
async def alive(master: ScriptedMaster, every: int) -> AsyncIterator[None]:
    """As a bridge says it."""

    async def say() -> None:
        while True:
            message = Alive(master=master.name, incarnation=master.incarnation, status_every=every)
            with suppress(DeliveryError):  # no agent is there yet: it comes back
                await master.say(message, topology.CONTROL, topology.BROADCAST)
            await asyncio.sleep(ALIVE_INTERVAL)

    saying = asyncio.ensure_future(say())
    try:
        yield
    finally:
        saying.cancel()


async def test_an_agent_says_when_its_next_status_comes_and_is_not_forgotten(
    start_agent: StartAgent, open_master: OpenMaster
) -> None:
    """Rule 27: a master of many agents knows it for longer. What is new is told at once, as ever."""
    master = await open_master("any")
    start_agent()
    async with alive(master, 10):
        less_often = await master.status(lambda status: status.every == 10)
        fleet = FleetView()
        fleet.hear(less_often, 0.0)
        assert [status.agent for status in fleet.agents(30.0)] == ["agent"]
        assert list(fleet.agents(30.1)) == []
        await master.steer("drain", less_often.address)
        paused = await master.status(lambda status: status.state == "paused")
        assert paused.every == 10


@pytest.mark.long
async def test_it_tells_less_often_until_that_master_is_silent(
    start_agent: StartAgent, open_master: OpenMaster
) -> None:
    """No later than it said each time, by its own clock; at last every 5 s, as without a master."""
    master = await open_master("any")
    start_agent()
    async with alive(master, 10):
        await until(lambda: len(master.all(Status, lambda status: status.every == 10)) >= 5, "five statuses")
        seldom = master.all(Status, lambda status: status.every == 10)[2:]
        assert all(after.now - before.now > 9 for before, after in pairwise(seldom))
    await until(lambda: [status.every for status in master.all(Status)[-3:]] == [5, 5, 5], "statuses as ever")
    fleet = FleetView()
    for before, after in pairwise(master.all(Status)):
        fleet.hear(before, before.now)
        assert [status.agent for status in fleet.agents(after.now)] == ["agent"], "forgotten before it told again"
