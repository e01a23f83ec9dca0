"""Links that are lost at any point, over every transport: both sides know it, and nothing confirmed is lost."""

from __future__ import annotations

import asyncio
import random

import pytest

from contracts.messages import Data, Gone, Ping
from tests.transports.port.conftest import MakeAgent, MakeMaster
from tests.transports.port.ends import PATIENCE, QUEUE, AgentEnd, MasterEnd, number_of, ping, until
from tests.transports.port.middles import Middle
from worker_agent.core.inputs import Confirmed, LinkDown, LinkUp, OfferDelivered, Refused

KIB = 1024


async def test_a_lost_link_comes_back_as_another(master: MasterEnd, agent: AgentEnd, middle: Middle) -> None:
    """With another address and a higher epoch; what is said to the former address comes back."""
    first = await agent.up()
    middle.cut()
    second = await agent.again()
    assert agent.downs == 1
    assert second.address != first.address
    assert second.epoch > first.epoch
    assert second.opened_at >= first.opened_at
    await master.call("send", ping(1), first.address)
    await master.wait("returned")
    await master.call("send", ping(2), second.address)
    assert [number_of(each) for each in await agent.wait_heard(Ping)] == [2]


async def test_orders_of_the_former_life_change_nothing(master: MasterEnd, agent: AgentEnd, middle: Middle) -> None:
    """None of its publications is answered after the link is down."""
    for number in range(100):
        agent.claim(number, token=number)
    middle.cut()
    await agent.wait(LinkDown)
    down = next(place for place, each in enumerate(agent.inputs) if isinstance(each, LinkDown))
    await agent.again()
    agent.claim(1000, token=1000)
    await agent.answered(1000)
    late = [each for each in agent.inputs[down:] if isinstance(each, (Confirmed, Refused)) and each.token < 1000]
    assert late == []


async def test_an_agent_waits_for_its_master(make_master: MakeMaster, make_agent: MakeAgent, middle: Middle) -> None:
    """Where the middle is the master itself there is nobody before it; else nobody hears."""
    agent = await make_agent(up=False)
    master = await make_master()
    await agent.up()
    agent.claim(1, token=1)
    await agent.answered(1)
    await master.wait_heard(Gone, 1)


async def test_a_master_that_stops_and_starts_finds_its_agents(make_master: MakeMaster, make_agent: MakeAgent) -> None:
    master = await make_master()
    agent = await make_agent()
    await master.call("stop")
    assert master.named("down")
    again = await make_master()
    for number in range(1000):  # the agent's link may be lost with it, or not
        agent.claim(number, token=number)
        await asyncio.sleep(0.1)
        if agent.answers(number) and isinstance(agent.answers(number)[0], Confirmed):
            break
    await again.wait_heard(Gone, 1)
    await again.call("send", ping(1), agent.link.address)
    await agent.wait_heard(Ping)


@pytest.mark.parametrize("seed", range(2))
async def test_links_that_are_cut_at_any_point_lose_nothing_that_was_confirmed(
    master: MasterEnd, make_agent: MakeAgent, middle: Middle, seed: int
) -> None:
    """Two agents say numbered claims, each again until it is confirmed, while their links are cut again and again."""
    dice = random.Random(seed)
    agents = [await make_agent(f"a{number}") for number in range(2)]
    tokens = iter(range(1, 1_000_000))
    missing = {(place, number): 0 for place in range(2) for number in range(place, 300, 2)}
    lives = [0, 0]
    confirmed = set()
    cut_at = asyncio.get_running_loop().time() + 0.2
    cuts = 0
    while missing:
        for place, agent in enumerate(agents):
            if lives[place] != len(agent.told(LinkUp)) and agent.link.entered:
                lives[place] = len(agent.told(LinkUp))
                for who, number in list(missing):
                    if who == place:
                        missing[who, number] = next(tokens)
                        agent.claim(number, token=missing[who, number])
            tokens_of = {token: key for key, token in missing.items() if key[0] == place}
            for each in agent.told(Confirmed):
                if each.token in tokens_of:
                    key = tokens_of[each.token]
                    confirmed.add(key[1])
                    missing.pop(key, None)
        if cuts < 8 and asyncio.get_running_loop().time() > cut_at:
            middle.cut()
            cuts += 1
            cut_at = asyncio.get_running_loop().time() + dice.uniform(0.01, 0.5)
        await asyncio.sleep(0.01)
    assert confirmed == set(range(300))
    await until(
        lambda: {number_of(each) for each in master.heard(Gone)} == confirmed,
        lambda: f"missing: {sorted(confirmed - {number_of(each) for each in master.heard(Gone)})[:10]}",
    )


@pytest.mark.parametrize("seed", range(2))
async def test_no_offer_is_lost(master: MasterEnd, make_agent: MakeAgent, middle: Middle, seed: int) -> None:
    """Agents take offers and acknowledge them while their links are cut: each comes to somebody at last."""
    dice = random.Random(seed)
    agents = [await make_agent(f"a{number}") for number in range(2)]
    count = 20
    for number in range(count):
        await master.offer(number)
    came: list[int] = []

    async def work(agent: AgentEnd) -> None:
        seen = life = 0
        while len(set(came)) < count:
            if life != len(agent.told(LinkUp)) and agent.link.entered:
                life = len(agent.told(LinkUp))
                agent.link.consume((QUEUE,))
            offers = agent.told(OfferDelivered)[seen:]
            if offers:
                assert len(offers) == 1 or life != len(agent.told(LinkUp)), "two offers at once"
                seen += len(offers)
                came.extend(each.offer.run for each in offers)
                agent.link.cancel_consumers()
                agent.link.settle(offers[-1].delivery, "ack")
                await agent.link.flush()
                if life == len(agent.told(LinkUp)) and agent.link.entered:
                    agent.link.consume((QUEUE,))
            await asyncio.sleep(0.01)

    async def cut() -> None:
        for _ in range(6):
            await asyncio.sleep(dice.uniform(0.05, 0.4))
            middle.cut()

    await asyncio.wait_for(asyncio.gather(*map(work, agents), cut()), PATIENCE)
    assert set(came) == set(range(count))


async def test_who_does_not_read_costs_others_nothing(master: MasterEnd, make_agent: MakeAgent, middle: Middle) -> None:
    """While nothing gets through to agents the master goes on; afterwards each hears what it is told, or is anew."""
    agent = await make_agent("a1")
    middle.freeze()
    data = Data(session="s", incarnation="i", n=1, offset=0, size=200 * KIB, data=b"x" * 200 * KIB)
    for _ in range(150):  # 30 MB
        await master.call("send", data, agent.link.address)
    await master.offer(1)
    await master.until_waiting(1)  # the master's link is as quick as before
    middle.heal()
    await until(lambda: agent.downs or len(agent.heard(Data)) == 150, "it has heard all, or lost its link")
    await until(lambda: agent.link.entered, "it is back")
    assert (await agent.take()).offer.run == 1


@pytest.mark.long
async def test_a_link_on_which_nothing_comes_is_given_up(master: MasterEnd, agent: AgentEnd, middle: Middle) -> None:
    """Within a minute, whatever the transport; both sides come back afterwards."""
    middle.freeze()
    await agent.wait(LinkDown)
    middle.heal()
    await agent.again()
    agent.claim(1, token=1)
    await agent.answered(1)


async def test_who_ends_says_so_and_its_address_is_gone(
    master: MasterEnd, agent: AgentEnd, make_agent: MakeAgent
) -> None:
    await master.offer(1)
    await agent.take()
    address = agent.link.address
    await agent.close()
    other = await make_agent("a2")
    again = await other.take()
    assert again.redelivered
    await master.call("send", ping(1), address)
    await master.wait("returned")
