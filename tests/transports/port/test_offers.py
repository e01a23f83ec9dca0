"""Offers, over every transport: one with one agent at a time, in order, settled or given to others."""

from __future__ import annotations

import asyncio
from typing import Any

from contracts.topology import cap_queue
from tests.transports.port.conftest import MakeAgent
from tests.transports.port.ends import QUEUE, SIGNATURE, AgentEnd, MasterEnd, until
from tests.transports.port.middles import Middle
from worker_agent.core.inputs import OfferDelivered


async def test_an_offer_comes_as_it_was_said(master: MasterEnd, agent: AgentEnd) -> None:
    offer = await master.offer(1)
    taken = await agent.take()
    assert taken.offer == offer
    assert (taken.queue, taken.redelivered, taken.deaths, taken.repeated) == (QUEUE, False, 0, False)


async def test_offers_come_in_order_one_at_a_time(master: MasterEnd, agent: AgentEnd) -> None:
    """A second one only after the agent has asked for one again."""
    offers = [await master.offer(number) for number in range(5)]
    for offer in offers:
        taken = await agent.take()
        assert taken.offer == offer
        agent.link.settle(taken.delivery, "ack")
        await agent.link.flush()
    await asyncio.sleep(0.2)
    assert len(agent.told(OfferDelivered)) == 5
    assert await master.waiting() == 0


async def test_one_that_waits_is_not_given_to_who_holds_another(master: MasterEnd, agent: AgentEnd) -> None:
    await master.offer(1)
    await agent.take()
    await master.offer(2)
    await master.until_waiting(1)
    await asyncio.sleep(0.2)
    assert len(agent.told(OfferDelivered)) == 1


async def test_of_several_queues_one_offer_comes(master: MasterEnd, agent: AgentEnd) -> None:
    signatures = (SIGNATURE, "gcc>=10", "qt>=6")
    for number, signature in enumerate(signatures):
        await master.offer(number, signature)
    queues = tuple(map(cap_queue, signatures))
    seen = set()
    for _ in signatures:
        taken = await agent.take(*queues)
        await asyncio.sleep(0.2)
        assert agent.told(OfferDelivered)[-1] is taken, "a second offer was not asked for"
        seen.add(taken.queue)
        agent.link.settle(taken.delivery, "ack")
    assert seen == set(queues)


async def test_higher_priorities_come_first(master: MasterEnd, agent: AgentEnd) -> None:
    for number, priority in enumerate((0, 5, 0, 9, 5)):
        await master.offer(number, priority=priority)
    await master.until_waiting(5)
    taken = []
    for _ in range(5):
        taken.append(await agent.take())
        agent.link.settle(taken[-1].delivery, "ack")
    assert [each.offer.run for each in taken] == [3, 1, 4, 0, 2]


async def test_one_that_is_given_back_comes_first(master: MasterEnd, agent: AgentEnd, make_agent: MakeAgent) -> None:
    for number in (1, 2):
        await master.offer(number)
    taken = await agent.take()
    agent.link.settle(taken.delivery, "give_back")
    other = await make_agent("a2")
    again = await other.take()
    assert again.offer == taken.offer
    assert again.redelivered
    assert again.deaths == 0


async def test_one_that_is_parked_comes_after_those_that_wait(master: MasterEnd, agent: AgentEnd) -> None:
    for number in (1, 2):
        await master.offer(number)
    first = await agent.take()
    agent.link.settle(first.delivery, "park")
    second = await agent.take()
    assert second.offer.run == 2
    agent.link.settle(second.delivery, "ack")
    again = await agent.take()
    assert again.offer == first.offer
    assert again.deaths == 2, "it was rejected, and had waited long enough"


async def test_each_offer_is_with_one_agent(master: MasterEnd, make_agent: MakeAgent) -> None:
    agents = [await make_agent(f"a{number}") for number in range(3)]
    for number in range(3):
        await master.offer(number)
    taken = await asyncio.gather(*(agent.take() for agent in agents))
    assert sorted(each.offer.run for each in taken) == [0, 1, 2]
    assert await master.waiting() == 0


async def test_what_is_to_nobodys_liking_is_with_the_dead(master: MasterEnd, agent: AgentEnd) -> None:
    offer = await master.offer(1)
    taken = await agent.take()
    agent.link.send_to_dead(taken.delivery, "not to be read")
    await agent.link.flush()
    ((key, properties, body),), more = await until_peeked(master, "dead", 1)
    assert (properties.headers["bb-reason"], more) == ("not to be read", 0)
    assert offer.offer.encode() in body
    assert await master.waiting() == 0
    assert key is not None


async def test_orders_on_offers_wait_for_a_gate_and_publications_do_not(master: MasterEnd, agent: AgentEnd) -> None:
    await master.offer(1)
    taken = await agent.take()
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    agent.link.hold_until(gate)
    agent.link.settle(taken.delivery, "give_back")
    agent.claim(1, token=1)
    await agent.answered(1)
    await asyncio.sleep(0.2)
    assert await master.waiting() == 0, "it is held still"
    gate.set_result(None)
    await master.until_waiting(1)


async def test_a_queue_that_is_not_there_is_told(master: MasterEnd, agent: AgentEnd) -> None:
    missing = cap_queue("nobody>=1")
    await master.call("ensure_queues", [SIGNATURE])
    await master.queue_is_there(SIGNATURE)
    assert await agent.link.existing([QUEUE, missing]) == {QUEUE: True, missing: False}
    agent.link.consume((QUEUE, missing))
    await until(lambda: agent.gone == [missing], lambda: f"it is told that the queue is not there: {agent.gone}")
    await master.offer(1)
    await agent.wait(OfferDelivered)


async def test_a_queue_is_deleted_when_nothing_waits_in_it(master: MasterEnd, agent: AgentEnd) -> None:
    await master.offer(1)
    await master.until_waiting(1)
    assert not await master.call("delete_empty", SIGNATURE)
    taken = await agent.take()
    agent.link.settle(taken.delivery, "ack")
    await agent.link.flush()
    for _ in range(100):  # the agent's consumer may be leaving still
        if await master.call("delete_empty", SIGNATURE):
            break
        await asyncio.sleep(0.1)
    assert await agent.link.existing([QUEUE]) == {QUEUE: False}


async def test_stale_offers_are_swept_where_they_wait(master: MasterEnd, agent: AgentEnd) -> None:
    for number in range(4):
        await master.offer(number)
    await master.until_waiting(4)
    await master.call("sweep", SIGNATURE, lambda offer: offer.run % 2 == 0)
    left = []
    for _ in range(2):
        left.append(await agent.take())
        agent.link.settle(left[-1].delivery, "ack")
    assert [each.offer.run for each in left] == [1, 3]
    await agent.link.flush()
    assert await master.waiting() == 0


async def test_what_a_lost_agent_held_comes_to_another_and_is_marked(
    master: MasterEnd, agent: AgentEnd, middle: Middle
) -> None:
    """It has an offer in hand, and orders on that are void in the link's next life."""
    offer = await master.offer(1)
    held = await agent.take()
    middle.cut()
    await agent.again()
    again = await agent.take()
    assert again.offer == offer
    assert again.redelivered
    assert again.delivery != held.delivery
    agent.link.settle(held.delivery, "ack")  # of the life before
    middle.cut()
    await agent.again()
    assert (await agent.take()).offer == offer


async def until_peeked(master: MasterEnd, queue: str, count: int) -> tuple[list[tuple[str, Any, bytes]], int]:
    """What is in a queue, once it is so much."""
    for _ in range(600):
        shown, more = await master.call("peek", queue, 100)
        if len(shown) >= count:
            return shown, more
        await asyncio.sleep(0.1)
    raise AssertionError(f"{queue} has less than {count}")
