"""A place that stays while a master's configuration changes: its agents notice nothing, and nothing is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import defer, threads

from contracts.messages import Gone, Ping
from master_bridge.link.both import BothLinks
from master_bridge.link.making import make_link, stays
from master_bridge.link.office.link import OfficeLink
from master_bridge.link.settings import LinkSettings
from tests.transports.port.ends import AgentEnd, MasterEnd, number_of, ping
from tests.transports.port.middles import MASTER
from worker_agent.core.inputs import LinkDown

#: Where the master itself is in the middle; at a broker agents never notice a master.
OFFICES = ["amp", *(pytest.param(name, marks=pytest.mark.long) for name in ("zmq", "ssh"))]
ELSEWHERE = LinkSettings(url="amqp://127.0.0.1:1/", master=MASTER)


class Former:
    """What the master's link reported to before."""

    def __init__(self, master: MasterEnd) -> None:
        self.office = master.link
        assert isinstance(self.office, OfficeLink)
        self.settings = self.office._settings
        self.master = master

    def handed_over(self) -> None:
        """As the broker does at a reconfiguration; in the reactor's thread."""
        staying = stays(self.master.link, self.settings, None)
        assert staying is self.office
        staying.leave("another configuration")
        self.master.link.stop()
        self.master.events.append(("handed over",))
        self.master.link = make_link(
            None, self.settings, self.master, folder=None, renew_url=defer.Deferred, staying=staying  # type: ignore[arg-type]  # nothing is made
        )  # fmt: skip
        self.master.link.start()


@pytest.mark.parametrize("middle", OFFICES, indirect=True)
async def test_agents_of_a_place_that_stays_notice_nothing(master: MasterEnd, agent: AgentEnd) -> None:
    """What was not acknowledged is brought again, in order; offers that wait still do."""
    master.acks = False
    await master.offer(1)
    for number in range(3):
        agent.claim(number, token=number)
    agent.event(7, b"output", token=7)
    await agent.answered(7)
    await master.wait_heard(Gone, 3)
    (first,) = [event[1] for event in master.named("message") if event[2].session == "s0"]
    await master.call("ack", first)
    former = Former(master)

    def hand_over() -> Any:
        master.acks = True
        former.handed_over()
        return former.master.link

    assert await on_reactor(master, hand_over) is former.office
    await master.wait("up", 2)
    after = master.events[master.events.index(("handed over",)) :]
    assert [event[0] for event in master.events].count("down") == 1
    told = [event[2] for event in after if event[0] == "message"]
    assert [number_of(each) for each in told if isinstance(each, Gone)] == [1, 2]
    assert [each.data for each in told if each.t == "event"] == [b"output"]
    await master.call("send", ping(1), agent.link.address)
    assert [number_of(each) for each in await agent.wait_heard(Ping)] == [1]
    assert (await agent.take()).offer.run == 1
    assert agent.downs == 0


@pytest.mark.parametrize("middle", ["amp"], indirect=True)
async def test_a_place_that_nobody_takes_over_is_left_with_the_other(
    master: MasterEnd, agent: AgentEnd, tmp_path: Path
) -> None:
    """While a fleet moves the place may be either of two, and stay as the only one; or be left for good."""
    former = Former(master)
    places: list[BothLinks] = []

    def both() -> None:
        staying = stays(master.link, ELSEWHERE, former.settings)
        assert staying is former.office
        staying.leave("the fleet moves")
        made = make_link(
            master.reactor, ELSEWHERE, master, folder=tmp_path, renew_url=defer.Deferred,
            moving_from=former.settings, staying=staying,
        )  # fmt: skip
        assert isinstance(made, BothLinks)
        places.append(made)
        made.start()

    await on_reactor(master, both)
    assert places[0].links[1] is former.office
    assert stays(places[0], former.settings, None) is former.office
    assert stays(places[0], ELSEWHERE, None) is None, "a broker holds what is there"
    assert agent.downs == 0
    await on_reactor(master, places[0].stop)
    await agent.wait(LinkDown)


async def on_reactor(master: MasterEnd, work: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(threads.blockingCallFromThread, master.reactor, work)
