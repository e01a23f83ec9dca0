"""An agent has one connection: while the broker has an alarm it does not read from it, and nothing of that is lost."""

from __future__ import annotations

import asyncio

from contracts.messages import Status
from contracts.testing.rabbitmq.node import RabbitMQNode
from contracts.topology import cap_queue
from tests.broker.agent.conftest import OpenMaster
from tests.broker.agent.scripted_master import until
from tests.broker.agent.test_closing import RunningLink
from worker_agent.core.inputs import OfferDelivered


async def test_what_an_agent_settles_in_an_alarm_is_settled_after_it(
    open_master: OpenMaster, own_node: RabbitMQNode
) -> None:
    """The offer that it held is acknowledged, and the link is the same."""
    master = await open_master("any", url=own_node.url)
    running = RunningLink(own_node.url)
    await running.up()
    running.link.consume((cap_queue("any"),))
    await master.offer()
    await until(lambda: any(isinstance(each, OfferDelivered) for each in running.inputs), "the offer")
    delivery = next(each.delivery for each in running.inputs if isinstance(each, OfferDelivered))
    status = Status(
        instance="i", agent="agent", epoch=1, address=running.link.address, version="1", now=0.0, state="ready",
        slots=(), capabilities=(),
    )  # fmt: skip
    own_node.ctl("set_vm_memory_high_watermark", "0.00001")
    try:
        running.link.publish_status(status)
        running.link.settle(delivery, "ack")
        flushed = asyncio.create_task(running.link.flush())
        done, _ = await asyncio.wait({flushed}, timeout=2)
        assert not done, "the broker reads from a connection that has published, though it has an alarm"
    finally:
        own_node.ctl("set_vm_memory_high_watermark", "0.4")
    await asyncio.wait_for(flushed, 60)
    await master.wait_for_messages("cap.any", 0)
    await running.end()
    await master.wait_for_messages("cap.any", 0)
    assert sum(type(each).__name__ == "LinkUp" for each in running.inputs) == 1
