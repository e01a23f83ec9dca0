"""What a master of another version tells every agent, every few seconds for as long as it lives."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import aio_pika
import pytest

from contracts import topology
from contracts.foreign import BROADCASTS_KEPT
from tests.broker.agent.conftest import OpenMaster, StartAgent
from tests.broker.agent.scripted_master import until
from tests.broker.agent.test_watching import get

SENT = BROADCASTS_KEPT + 4


@pytest.mark.parametrize(
    ("exchange", "key", "kind"),
    [(topology.CONTROL, topology.BROADCAST, "alive"), (topology.FLEET, topology.CATALOGUE_KEY, "catalogue")],
)
async def test_a_few_of_its_broadcasts_are_kept_and_all_are_counted(
    start_agent: StartAgent, open_master: OpenMaster, exchange: str, key: str, kind: str
) -> None:
    """They are in `dead` with the reason, and cannot fill it; what is said to this agent alone always is."""
    master = await open_master("any")
    agent = start_agent("agent", "--metrics-port", "0")
    status = await master.status(lambda status: bool(status.address))
    base = (await until(lambda: re.search(r"http://127.0.0.1:\d+", agent.log), "the port")).group()

    async def say(to: str, where: str, kind: str) -> None:
        body = json.dumps({"t": kind, "v": 99, "master": "m9", "incarnation": "i", "signatures": []}).encode()
        target: Any = await master.channel.get_exchange(to, ensure=False)
        await target.publish(aio_pika.Message(body, user_id=master.login), where)

    for _ in range(SENT):
        await say(exchange, key, kind)
    for _ in range(SENT):
        await say(topology.CONTROL, status.address, "hold")
    await master.wait_for_messages(topology.DEAD_QUEUE, BROADCASTS_KEPT + SENT, 60)
    _, text = await asyncio.to_thread(get, f"{base}/metrics")
    assert f"worker_agent_other_versions {2 * SENT}.0" in text
    assert f"worker_agent_dead_letters_total {BROADCASTS_KEPT + SENT}.0" in text
    assert agent.log.count("incompatible_master") == 1
