"""What agents and masters say to each other, over every transport: in order, whole, confirmed, from whom it is."""

from __future__ import annotations

import asyncio
import time

import pytest

from contracts.agent_names import named
from contracts.messages import Alive, Catalogue, Data, Event, Gone, Marker, Ping, Status, Work
from contracts.topology import cap_queue, key_word
from tests.transports.port.conftest import MakeAgent, MakeMaster
from tests.transports.port.ends import SIGNATURE, AgentEnd, MasterEnd, number_of, ping, until
from tests.transports.port.middles import MASTER, Middle
from worker_agent.core.inputs import Confirmed, MessageReceived, Refused

MIB = 1024 * 1024


async def test_a_link_that_is_up_says_what_is_between(master: MasterEnd, agent: AgentEnd) -> None:
    assert master.link.up
    assert master.link.down_reason is None
    assert master.link.product
    assert agent.link.up
    assert agent.link.address.startswith("agent.")


async def test_claims_and_events_arrive_each_in_order_and_are_confirmed_once(
    master: MasterEnd, agent: AgentEnd
) -> None:
    for number in range(200):
        agent.claim(number, token=2 * number)
        agent.event(number + 1, b"x" * number, token=2 * number + 1)
    await agent.wait(Confirmed, 400)
    assert [number_of(each) for each in await master.wait_heard(Gone, 200)] == list(range(200))
    assert [each.seq for each in await master.wait_heard(Event, 200)] == list(range(1, 201))
    assert sorted(each.token for each in agent.told(Confirmed)) == list(range(400))
    assert not agent.told(Refused)
    await agent.link.flush()
    assert agent.link.unconfirmed == 0


async def test_who_said_it_is_told(master: MasterEnd, agent: AgentEnd, middle: Middle) -> None:
    agent.claim(1)
    ((_, _, _, user),) = await master.wait("message")
    assert user == middle.agents_user
    await master.call("send", ping(1), agent.link.address)
    (heard,) = await agent.wait(MessageReceived)
    assert heard.user == key_word(middle.master_user)


@pytest.mark.parametrize("size", [0, 1, 70_000, 3 * MIB])
async def test_bytes_come_whole_both_ways(master: MasterEnd, agent: AgentEnd, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    agent.event(1, data, token=1)
    await agent.answered(1)
    assert (await master.wait_heard(Event, 1))[0].data == data
    message = Data(session="s", incarnation="i", n=1, offset=0, size=size, data=data)
    await master.call("send", message, agent.link.address)
    assert (await agent.wait_heard(Data))[0].data == data


async def test_what_a_master_says_to_one_agent_arrives_in_order(master: MasterEnd, make_agent: MakeAgent) -> None:
    first, second = await make_agent("a1"), await make_agent("a2")
    for number in range(200):
        await master.call("send", ping(number), (first, second)[number % 2].link.address)
    for parity, agent in enumerate((first, second)):
        assert [number_of(each) for each in await agent.wait_heard(Ping, 100)] == list(range(parity, 200, 2))


async def test_what_is_said_to_an_address_at_which_nobody_is_comes_back(
    master: MasterEnd, agent: AgentEnd, middle: Middle
) -> None:
    for number in range(20):
        await master.call("send", ping(number), f"agent.{key_word(middle.agents_user)}.i.n{number}")
    returned = await master.wait("returned", 20)
    assert [event[1:] for event in returned] == [
        (ping(number), f"agent.{key_word(middle.agents_user)}.i.n{number}") for number in range(20)
    ]
    await master.call("send", ping(20), agent.link.address)
    await agent.wait_heard(Ping)
    assert len(master.named("returned")) == 20


async def test_what_is_for_a_master_that_is_not_there_is_refused(master: MasterEnd, agent: AgentEnd) -> None:
    agent.claim(1, token=1, master="nobody")
    agent.claim(2, token=2)
    assert await agent.answered(1) == Refused(token=1, returned=True)
    assert await agent.answered(2) == Confirmed(token=2)


async def test_a_broadcast_reaches_all_agents(master: MasterEnd, make_agent: MakeAgent) -> None:
    agents = [await make_agent(f"a{number}") for number in range(3)]
    await master.call("broadcast", Alive(master=MASTER, incarnation="i"))
    for agent in agents:
        await agent.wait_heard(Alive)


async def test_a_marker_comes_behind_all_that_is_in_the_claims(master: MasterEnd, agent: AgentEnd) -> None:
    for number in range(50):
        agent.claim(number, token=number)
    await agent.wait(Confirmed, 50)
    await master.call("send_marker", Marker(incarnation="i", k=1))
    await master.wait_heard(Marker, 1)
    assert len(master.heard(Gone)) == 50


async def test_who_hears_a_catalogue_finds_its_queues(master: MasterEnd, agent: AgentEnd) -> None:
    signatures = tuple(f"tool{number}>=1" for number in range(30))
    await master.call("publish_catalogue", Catalogue(master=MASTER, incarnation="i", signatures=signatures))
    (catalogue,) = await agent.wait_heard(Catalogue)
    assert catalogue.signatures == signatures
    queues = list(map(cap_queue, signatures))
    assert await agent.link.existing(queues) == dict.fromkeys(queues, True)


async def test_the_fleet_is_told_what_agents_are(master: MasterEnd, agent: AgentEnd, middle: Middle) -> None:
    """By the names that they are shown with."""
    status = Status(instance="i", agent=agent.name, epoch=1, address=agent.link.address, version="1", now=time.time(),
                    state="ready", slots=(), capabilities=())  # fmt: skip
    await until_told(master, agent, status, named(status, middle.agents_user))
    await master.call("publish_work", Work(master=MASTER, incarnation="i", now=time.time()))


async def until_told(master: MasterEnd, agent: AgentEnd, status: Status, heard: Status) -> None:
    """Nobody need hear a status: it is said again until somebody has."""
    for _ in range(100):
        agent.link.publish_status(status)
        await asyncio.sleep(0.1)
        if any(event[1] == heard for event in master.named("fleet")):
            return
    raise AssertionError("the master heard of no agent")


async def test_what_is_not_acknowledged_comes_again_to_the_masters_next_link(
    make_master: MakeMaster, make_agent: MakeAgent
) -> None:
    """Claims outlive the master's process, whatever is between."""
    master = await make_master()
    master.acks = False
    agent = await make_agent()
    for number in range(3):
        agent.claim(number, token=number)
    await agent.wait(Confirmed, 3)
    await master.wait("message", 3)
    first, _, third = (event[1] for event in master.named("message"))
    await master.call("ack", first)
    await master.call("ack", third)
    await asyncio.sleep(0.2)
    await master.call("stop")
    assert not master.link.up
    again = await make_master()
    assert [number_of(each) for each in await again.wait_heard(Gone, 1)] == [1]
    await asyncio.sleep(0.2)
    assert len(again.heard(Gone)) == 1


async def test_a_dead_letter_is_kept_with_its_reason(master: MasterEnd, agent: AgentEnd) -> None:
    master.acks = False
    agent.claim(1)
    ((_, delivery, _, _),) = await master.wait("message")
    await master.call("dead_letter", delivery, "nobody asked for it")
    await master.call("ack", delivery)
    for _ in range(600):
        shown, _more = await master.call("peek", "dead", 10)
        if shown:
            break
        await asyncio.sleep(0.1)
    assert shown[0][1].headers["bb-reason"] == "nobody asked for it"


async def test_events_that_a_master_does_not_store_are_bounded(make_master: MakeMaster, make_agent: MakeAgent) -> None:
    """What does not fit is refused, or waits with the agent, and is taken later; claims are not delayed by it."""
    master = await make_master(events_max_bytes=MIB)
    master.acks = False
    agent = await make_agent()
    for number in range(60):
        agent.event(number + 1, b"x" * 100_000, token=number)
    agent.claim(1, token=1000)
    await agent.answered(1000)
    await master.wait_heard(Gone, 1)
    master.acks = True
    for _, delivery, _, _ in master.named("message"):
        await master.call("ack", delivery)
    await until(lambda: all(agent.answers(number) for number in range(60)), "every publication is answered")
    taken = [number for number in range(60) if isinstance(agent.answers(number)[0], Confirmed)]
    assert [each.seq - 1 for each in await master.wait_heard(Event, len(taken))] == taken
    agent.event(100, b"later", token=100)
    assert await agent.answered(100) == Confirmed(token=100)


async def test_publishing_to_a_queue_makes_it(master: MasterEnd, agent: AgentEnd) -> None:
    signature = f"{SIGNATURE} qt>=6"
    assert await agent.link.existing([cap_queue(signature)]) == {cap_queue(signature): False}
    await master.offer(1, signature)
    await until(lambda: master.link.unconfirmed == 0, "it is there")
    assert (await agent.take(cap_queue(signature))).offer.run == 1
