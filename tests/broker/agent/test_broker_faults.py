"""The broker restarts, comes late, takes a delivery back, has an alarm: the agent carries on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil
import pytest

from contracts.messages import Claim, Resume, Status
from contracts.testing.rabbitmq.node import RabbitMQNode
from contracts.testing.rabbitmq.ports import free_ports
from contracts.topology import cap_queue
from tests.broker.agent.conftest import OpenMaster, StartAgent
from tests.broker.agent.scripted_master import ScriptedMaster, shell, until
from tests.broker.agent.test_closing import RunningLink
from tests.harness.brokers import version_of
from worker_agent.core.inputs import OfferDelivered

pytestmark = pytest.mark.brokers

#: A delivery may stay unacknowledged for 3 s, and the broker looks every second.
SHORT_TIMEOUT = "[{rabbit,[{consumer_timeout,3000},{channel_tick_interval,1000}]}]."


async def test_a_session_outlives_the_brokers_restart(
    start_agent: StartAgent, own_node: RabbitMQNode, tmp_path: Path
) -> None:
    """The broker restarts under a running command: the agent resumes with a greater epoch, and no line is lost."""
    master = await ScriptedMaster(own_node.url).open("any")
    start_agent(url=own_node.url)
    await master.offer()
    claim = await master.wait_for(Claim)
    await master.grant(claim)
    go_on = tmp_path / "go-on"
    command = shell(1, "sh", "-c", f"echo begin; while [ ! -e {go_on} ]; do sleep 0.1; done; echo end")
    await master.start(claim, command)
    await until(lambda: any(event.kind == "stdout" for event in master.events(claim.session)), "the first line")
    own_node.restart()
    go_on.touch()

    again = await ScriptedMaster(own_node.url).open()
    again.incarnation, again.received = master.incarnation, master.received
    resume = await again.wait_for(Resume, lambda resume: resume.epoch > claim.epoch, timeout=40)
    await again.grant(resume, stored=len(master.events(claim.session)))
    await again.completed(claim, 1)
    assert b"".join(event.data for event in again.events(claim.session) if event.kind == "stdout") == b"begin\nend\n"
    await again.release(resume)
    offer = await again.offer()
    await again.wait_for(Claim, lambda other: other.offer == offer.offer)
    await again.close()


@pytest.mark.long
async def test_it_waits_for_a_broker_that_comes_late(start_agent: StartAgent, tmp_path: Path) -> None:
    """Started before its broker the agent says so once, not with each try, and works when the broker is there."""
    node = RabbitMQNode(tmp_path / "late")
    agent = start_agent("agent", "--reconnect-max", "1", url=node.url)
    await until(lambda: "broker_unreachable" in agent.log, "the agent to say that it waits")
    with node:
        master = await ScriptedMaster(node.url).open("any")
        await master.wait_for_consumers("any", 1, timeout=40)
        # Refused, then perhaps listening but not yet ready: one line for each state.
        assert agent.log.count("broker_unreachable") <= 4
        await master.close()


async def test_a_wrong_password_is_said_without_the_password(start_agent: StartAgent, node: RabbitMQNode) -> None:
    """The broker refuses the login: the log names the user and the remedy, never the password."""
    url = f"amqp://guest:hunter2@127.0.0.1:{node.port}/"
    agent = start_agent(url=url)
    await until(lambda: "refuses the login" in agent.log, "the agent to say so")
    assert "user 'guest'" in agent.log
    assert "hunter2" not in agent.log


async def test_a_delivery_that_the_broker_took_back_does_not_end_the_session(
    start_agent: StartAgent, tmp_path: Path
) -> None:
    """consumer_timeout closes the channel under a held offer: the session goes on, and so does the agent afterwards.

    From 4.3 on only quorum queues have one; there the consumer is cancelled, or the channel closed where it is gone.
    """
    with RabbitMQNode(tmp_path / "short", advanced=SHORT_TIMEOUT) as node:
        master = await ScriptedMaster(node.url).open()
        await master.declare("any", "quorum" if version_of(node.url) >= (4, 3) else "classic")
        agent = start_agent(url=node.url)
        await master.offer()
        claim = await master.wait_for(Claim)
        await master.grant(claim)
        pid_file = tmp_path / "pid"
        await master.start(claim, shell(1, "sh", "-c", f"echo $$ > {pid_file}; exec sleep 1000"))
        pid = int(await until(lambda: pid_file.exists() and pid_file.read_text(), "the command to run"))
        seen = ("offer_channel_closed", "consumer_cancelled_by_broker")
        await until(lambda: any(event in agent.log for event in seen), "the broker to take the offer back", 90)
        assert psutil.pid_exists(pid)
        await master.wait_for_messages("cap.any", 1)  # not consumed: the slot is taken

        psutil.Process(pid).kill()
        await master.completed(claim, 1)
        await master.release(claim)
        second = await master.offer()
        await master.wait_for(Claim, lambda other: other.offer == second.offer)
        await master.close()


async def test_nothing_listens(start_agent: StartAgent) -> None:
    """With nobody at the port at all the agent stays and says why once."""
    (port,) = free_ports(1)
    agent = start_agent("agent", "--reconnect-max", "0.2", url=f"amqp://guest:guest@127.0.0.1:{port}/")
    await until(lambda: agent.log.count("broker_unreachable") >= 1, "the first line")
    await until(lambda: psutil.Process(agent.child.pid).cpu_times().user > 0, "it to run")
    assert agent.child.running


async def test_a_lost_consumer_repairs_itself(
    start_agent: StartAgent, open_master: OpenMaster, node: RabbitMQNode
) -> None:
    """The broker closes the agent's connection: it is back with all its consumers."""
    master = await open_master("any")
    agent = start_agent()
    await master.wait_for_consumers("any", 1)
    epoch = (await master.status(lambda status: bool(status.queues))).epoch
    node.evaluate(
        '[rabbit_networking:close_connection(P, "test") || P <- rabbit_networking:connections(), '
        'lists:keyfind(<<"connection_name">>, 1, proplists:get_value(client_properties, '
        "rabbit_networking:connection_info(P, [client_properties]))) =:= "
        '{<<"connection_name">>, longstr, <<"worker-agent agent">>}]',
    )
    await master.status(lambda status: status.epoch > epoch and status.queues == ("cap.any",))
    await master.wait_for_consumers("any", 1)
    assert agent.log.count("link_down") == 1


@pytest.mark.long
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
