"""Two links as one: what is told, where it goes, and that nothing is forgotten, whatever comes and goes."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from twisted.internet import defer

from contracts.foreign import ForeignPeers
from contracts.messages import AnyMessage, Claim, FleetMessage, Marker, Message, Offer, Ping, Status
from contracts.vectors.generate import MESSAGES
from master_bridge.link.both import BothLinks
from master_bridge.link.client import LinkClient


class Link:
    """One place, as a script says."""

    def __init__(self, name: str, client: LinkClient) -> None:
        self.name = name
        self.client = client
        self.up = False
        self.product = name
        self.down_reason: str | None = "not yet"
        self.user = "m1"
        self.unconfirmed = 1
        self.foreign = ForeignPeers()
        self.said: list[tuple[Any, ...]] = []
        self.acknowledged: set[int] = set()
        #: numbered as each connection does
        self.number = 0
        self.waiting: list[tuple[AnyMessage, str]] = []
        self.delivered: dict[int, tuple[AnyMessage, str]] = {}

    def __getattr__(self, method: str) -> Any:
        def say(*arguments: Any) -> Any:
            self.said.append((method, *arguments))
            return defer.succeed(True) if method in ("sweep", "delete_empty", "stop") else 1

        return say

    def ack(self, delivery: int) -> None:
        self.delivered.pop(delivery)

    def ensure_queues(self, signatures: Any, then: Any = None) -> None:
        self.said.append(("ensure_queues", tuple(signatures)))
        if then is not None:
            then()

    def come(self) -> None:
        self.up, self.down_reason = True, None
        self.client.link_up()
        waiting, self.waiting = self.waiting, []
        for message, user in waiting:
            self.deliver(message, user)

    def go(self) -> None:
        """What was not acknowledged waits, as at a broker."""
        self.up, self.down_reason = False, "gone"
        self.waiting = [*self.delivered.values(), *self.waiting]
        self.delivered.clear()
        self.client.link_down("gone")

    def deliver(self, message: AnyMessage, user: str = "a1") -> None:
        if not self.up:
            self.waiting.append((message, user))
            return
        self.number += 1
        self.delivered[self.number] = message, user
        self.client.message_received(self.number, message, user, 10)


class Client:
    """Of the bridge: counts as told what it was told since the last link-up."""

    def __init__(self) -> None:
        self.up = False
        self.told: dict[int, AnyMessage] = {}
        self.events: list[tuple[Any, ...]] = []

    def link_up(self) -> None:
        assert not self.up
        self.up = True

    def link_down(self, reason: str) -> None:
        assert self.up
        self.up = False
        self.told.clear()
        self.events.append(("down", reason))

    def link_blocked(self, blocked: bool) -> None:
        self.events.append(("blocked", blocked))

    def link_stopped(self, reason: str) -> None:
        self.events.append(("stopped", reason))

    def message_received(self, delivery: int, message: AnyMessage, user: str, size: int) -> None:
        assert self.up
        self.told[delivery] = message

    def message_returned(self, message: AnyMessage, routing_key: str) -> None:
        self.events.append(("returned", message, routing_key))

    def agent_died(self, address: str) -> None:
        self.events.append(("died", address))

    def fleet_heard(self, message: FleetMessage) -> None:
        self.events.append(("fleet", message))

    def message_sent_to_dead(self, reason: str, user: str) -> bool:
        return True


class Stand:
    def __init__(self) -> None:
        self.client = Client()
        self.links: list[Link] = []

        def make(name: str) -> Any:
            def made(client: LinkClient) -> Any:
                self.links.append(Link(name, client))
                return self.links[-1]

            return made

        self.both = BothLinks(self.client, make("new"), make("old"))
        self.new, self.old = self.links

    def come(self) -> Stand:
        for link in self.links:
            link.come()
        return self


def claim(session: str, address: str) -> Claim:
    claimed = MESSAGES["claim"]
    assert isinstance(claimed, Claim)
    return claimed.model_copy(update={"session": session, "address": address})


def ping() -> Message:
    return MESSAGES["ping"]


AT_OLD, AT_NEW, UNKNOWN = "agent.a.1.o", "agent.a.1.n", "agent.a.1.u"


def test_it_is_up_while_both_are_and_says_which_is_missing() -> None:
    stand = Stand()
    stand.both.start()
    stand.new.come()
    assert not stand.client.up
    assert stand.both.down_reason == "the place that is left: not yet"
    stand.old.come()
    assert stand.client.up
    assert stand.both.down_reason is None
    assert stand.both.product == "new and old"
    stand.new.go()
    assert stand.client.events == [("down", "the new place: gone")]


def test_each_agent_is_told_where_it_was_heard_last() -> None:
    stand = Stand().come()
    stand.old.deliver(claim("s1", AT_OLD))
    status = MESSAGES["status"]
    assert isinstance(status, Status)
    stand.new.client.fleet_heard(status.model_copy(update={"address": AT_NEW}))
    for address in (AT_OLD, AT_NEW, UNKNOWN):
        stand.both.send(ping(), address)
    assert [said[-1] for said in stand.old.said if said[0] == "send"] == [AT_OLD]
    assert [said[-1] for said in stand.new.said if said[0] == "send"] == [AT_NEW, UNKNOWN]


def test_who_is_not_at_the_new_place_is_looked_for_at_the_other_and_then_is_gone() -> None:
    stand = Stand().come()
    stand.both.send(ping(), UNKNOWN)
    stand.new.client.message_returned(ping(), UNKNOWN)  # type: ignore[arg-type]
    assert stand.old.said[-1] == ("send", ping(), UNKNOWN)
    assert stand.client.events == []
    stand.old.client.message_returned(ping(), UNKNOWN)  # type: ignore[arg-type]
    assert stand.client.events == [("returned", ping(), UNKNOWN)]


def test_a_marker_counts_when_it_came_by_both_ways() -> None:
    """Whatever was said before it at either place is in by then."""
    stand = Stand().come()
    marker = Marker(incarnation="i", k=3)
    stand.both.send_marker(marker)
    assert [link.said[-1] for link in stand.links] == [("send_marker", marker)] * 2
    stand.new.deliver(marker)
    stand.new.deliver(marker)  # again: a broker may say a thing twice
    assert not stand.client.told
    stand.old.deliver(claim("s1", AT_OLD))
    stand.old.deliver(marker)
    assert [message.t for message in stand.client.told.values()] == ["claim", "marker"]


def test_offers_are_at_both_places_and_ask() -> None:
    """So whoever is not told by this master runs nothing."""
    stand = Stand().come()
    offer = MESSAGES["offer"]
    assert isinstance(offer, Offer)
    stand.both.publish_offer(offer.model_copy(update={"ask": False}), 3)
    for link in stand.links:
        ((_, published, priority),) = [said for said in link.said if said[0] == "publish_offer"]
        assert (published.ask, priority) == (True, 3)


def test_blocked_is_either_and_over_with_both() -> None:
    stand = Stand().come()
    for link, blocked in ((stand.new, True), (stand.old, True), (stand.new, False), (stand.old, False)):
        link.client.link_blocked(blocked)
    assert stand.client.events == [("blocked", True), ("blocked", False)]


def test_queues_are_swept_and_deleted_at_both() -> None:
    stand = Stand().come()
    found: list[Any] = []
    stand.both.sweep("any", lambda _offer: True).addCallback(found.append)
    stand.both.delete_empty("any").addCallback(found.append)
    assert found == [2, True]
    after: list[str] = []
    stand.both.ensure_queues(iter(["any"]), then=lambda: after.append("done"))
    assert [link.said[-1] for link in stand.links] == [("ensure_queues", ("any",))] * 2
    assert after == ["done"]


@pytest.mark.parametrize("seed", range(40))
def test_whatever_comes_and_goes_each_delivery_is_told_until_it_is_acknowledged(seed: int) -> None:
    """The client knows, while it is up, exactly what neither place had acknowledged; nothing is acknowledged twice."""
    dice, stand = Random(seed), Stand()
    open_claims: set[str] = set()
    for number in range(400):
        link = dice.choice(stand.links)
        what = dice.choice(("come", "go", "say", "say", "say", "ack", "ack"))
        if what == "come" and not link.up:
            link.come()
        elif what == "go" and link.up and dice.random() < 0.4:
            link.go()
        elif what == "say":
            session = f"s{number}"
            open_claims.add(session)
            link.deliver(claim(session, f"agent.a.{number}.{link.name}"))
        elif what == "ack" and stand.client.told:
            delivery = dice.choice(sorted(stand.client.told))
            message = stand.client.told.pop(delivery)
            open_claims.remove(message.session)  # type: ignore[union-attr]
            stand.both.ack(delivery)
            stand.both.ack(delivery)
        if stand.client.up:
            assert sorted(each.session for each in stand.client.told.values()) == sorted(open_claims)  # type: ignore[union-attr]
    assert isinstance(stand.both.unconfirmed, int)
    assert isinstance(ping(), Ping)
