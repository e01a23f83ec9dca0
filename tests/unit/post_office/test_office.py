"""The post office: what the protocol leans on in RabbitMQ holds here, too, and what strangers do is bounded."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from contracts import topology
from contracts.codec import Wire
from contracts.frames.frames import (
    Answer,
    Carried,
    ConsumeFrom,
    Counted,
    CountQueues,
    Frame,
    LookFor,
    Missing,
    NextDead,
    OfDead,
    Offered,
    Say,
    Settle,
    SettleDead,
    There,
)
from contracts.frames.frames import Told as ToldFrame
from contracts.timing import PARKED_TTL
from master_bridge.post_office import dead_letters, masters_mail, office
from master_bridge.post_office.actions import CutOff, GiveBackToMaster, OfficeAction, SendFrame, TellFleet, TellMaster
from master_bridge.post_office.connections import HELD_MAX
from master_bridge.post_office.inputs import (
    AgentJoined,
    AgentLeft,
    FrameCame,
    MasterAcknowledged,
    MasterPublished,
    OffersSwept,
    OfficeInput,
    OfficeTick,
    QueueDeleted,
    QueuesDeclared,
)
from master_bridge.post_office.office import PostOffice

GTK, WX = "cap.gtk", "cap.wx"
CARRIED = Carried(type="event", content_type="x", headers={"bb": "{}"})


class Played:
    """An office and what came of it; times are moved by `later`."""

    def __init__(self, **settings: Any) -> None:
        self.office = PostOffice("m", "master", **settings)
        self.now = 0.0
        self.actions: list[OfficeAction] = []
        self.published = 0
        self.tell(QueuesDeclared(queues=frozenset({GTK, WX})))

    def tell(self, news: OfficeInput) -> list[OfficeAction]:
        found = self.office.handle(news, self.now)
        self.actions += found
        return found

    def join(self, connection: int, user: str = "agents", **more: Any) -> list[OfficeAction]:
        address = topology.control_address(user, f"i{connection}", "n")
        return self.tell(AgentJoined(connection=connection, user=user, address=address, **more))

    def frame(self, connection: int, frame: Frame, body: bytes = b"") -> list[OfficeAction]:
        return self.tell(FrameCame(connection=connection, frame=frame, body=body))

    def consume(self, connection: int, *queues: str, seen: int) -> list[OfficeAction]:
        return self.frame(connection, ConsumeFrom(queues=queues, seen=seen))

    def settle(self, connection: int, delivery: int, how: str) -> list[OfficeAction]:
        return self.frame(connection, Settle.model_validate({"delivery": delivery, "how": how}))

    def publish(self, key: str, text: str = "", *, exchange: str = topology.OFFERS, **more: Any) -> list[OfficeAction]:
        self.published += 1
        wire = Wire(type="offer", content_type="application/json", body=text.encode())
        return self.tell(MasterPublished(number=self.published, exchange=exchange, key=key, wire=wire, **more))

    def say(self, connection: int, to: str, key: str = "m", body: bytes = b"", number: int = 1) -> list[OfficeAction]:
        fields = {"number": number, "to": to, "key": key, "message": CARRIED}
        return self.frame(connection, Say.model_validate(fields), body)

    def later(self, seconds: float) -> list[OfficeAction]:
        self.now += seconds
        return self.tell(OfficeTick())


def frames(actions: list[OfficeAction], connection: int | None = None) -> list[Frame]:
    return [each.frame for each in actions if isinstance(each, SendFrame) and connection in (None, each.connection)]


def offers(actions: list[OfficeAction]) -> list[tuple[int, str, bool, int]]:
    """(connection, text, redelivered, parkings) of each offer that was handed out."""
    return [
        (each.connection, each.body.decode(), each.frame.redelivered, each.frame.parkings)
        for each in actions
        if isinstance(each, SendFrame) and isinstance(each.frame, Offered)
    ]


def outcome(actions: list[OfficeAction]) -> str:
    (answer,) = [frame for frame in frames(actions) if isinstance(frame, Answer)]
    return answer.outcome


# -- offers ----------------------------------------------------------------------------------------------------------


def test_an_offer_waits_for_somebody_and_is_handed_to_one() -> None:
    played = Played()
    played.publish(GTK, "a")
    for connection in (1, 2):
        played.join(connection)
    assert offers(played.consume(1, GTK, seen=0)) == [(1, "a", False, 0)]
    assert offers(played.consume(2, GTK, seen=0)) == []
    assert offers(played.publish(GTK, "b")) == [(2, "b", False, 0)]


def test_one_at_a_time_and_none_before_it_is_asked_for_again() -> None:
    played = Played()
    played.join(1)
    for text in "abc":
        played.publish(GTK, text)
    assert offers(played.consume(1, GTK, seen=0)) == [(1, "a", False, 0)]
    assert offers(played.settle(1, 1, "ack")) == []
    assert offers(played.consume(1, GTK, seen=0)) == [], "it crossed the offer on its way"
    assert offers(played.consume(1, GTK, seen=1)) == [(1, "b", False, 0)]


def test_the_queue_that_is_named_first_is_served_first_and_priorities_go_before_age() -> None:
    played = Played()
    played.join(1)
    for key, text, priority in ((GTK, "old", 0), (GTK, "urgent", 5), (WX, "wx", 0)):
        played.publish(key, text, priority=priority)
    got = [offers(played.consume(1, *queues, seen=seen)) for seen, queues in enumerate([(WX, GTK), (GTK, WX), (GTK,)])]
    assert [one[0][1] for one in got] == ["wx", "urgent", "old"]


def test_who_has_waited_longest_is_served_first() -> None:
    played = Played()
    for connection in (1, 2, 3):
        played.join(connection)
        played.consume(connection, GTK, seen=0)
    played.consume(1, GTK, WX, seen=0)  # it keeps its place
    assert [offers(played.publish(GTK, text))[0][0] for text in "abc"] == [1, 2, 3]


def test_what_is_given_back_comes_first_again_and_says_so() -> None:
    played = Played()
    played.join(1)
    played.publish(GTK, "a")
    played.publish(GTK, "b")
    played.consume(1, GTK, seen=0)
    played.settle(1, 1, "back")
    assert offers(played.consume(1, GTK, seen=1)) == [(1, "a", True, 0)]


def test_what_is_parked_comes_back_to_the_end_after_its_time() -> None:
    played = Played()
    played.join(1)
    played.publish(GTK, "a")
    played.publish(GTK, "b")
    played.consume(1, GTK, seen=0)
    played.settle(1, 1, "park")
    assert offers(played.consume(1, GTK, seen=1)) == [(1, "b", False, 0)]
    played.settle(1, 2, "ack")
    played.consume(1, GTK, seen=2)
    assert played.office.deadline == PARKED_TTL
    assert offers(played.later(PARKED_TTL - 1)) == []
    assert offers(played.later(1)) == [(1, "a", False, 1)]


def test_what_a_lost_connection_held_goes_to_others_marked() -> None:
    played = Played()
    for connection in (1, 2):
        played.join(connection)
    played.publish(GTK, "a")
    played.consume(1, GTK, seen=0)
    played.consume(2, GTK, seen=0)
    assert offers(played.tell(AgentLeft(connection=1))) == [(2, "a", True, 0)]
    assert played.settle(1, 1, "ack") == [], "of a connection that is gone nothing counts"


def test_a_queue_that_is_not_there_is_told_and_one_that_goes_too() -> None:
    played = Played()
    played.join(1)
    assert frames(played.consume(1, GTK, "cap.none", seen=0)) == [Missing(queue="cap.none")]
    assert frames(played.tell(QueueDeleted(queue=GTK))) == [Missing(queue=GTK)]
    there = played.frame(1, LookFor(number=7, queues=(WX, GTK)))
    assert frames(there) == [There(number=7, queues=(WX,))]
    assert GiveBackToMaster(number=1) in played.publish(GTK, "a", mandatory=True)


def test_a_queue_in_which_something_waits_stays() -> None:
    played = Played()
    played.publish(GTK, "a")
    played.tell(QueueDeleted(queue=GTK))
    assert [wire.body for _number, wire in played.office.waiting(GTK)] == [b"a"]


def test_a_sweep_takes_what_still_waits() -> None:
    played = Played()
    for text in "abc":
        played.publish(GTK, text)
    stale = frozenset(number for number, wire in played.office.waiting(GTK) if wire.body != b"b")
    played.tell(OffersSwept(queue=GTK, numbers=stale))
    assert [wire.body for _number, wire in played.office.waiting(GTK)] == [b"b"]


def test_an_offer_that_is_no_offer_goes_to_the_dead_letters() -> None:
    played = Played()
    played.join(1)
    played.publish(GTK, "a", priority=3)
    played.consume(1, GTK, seen=0)
    played.frame(1, Settle(delivery=1, how="dead", reason="no offer"))
    (letter,) = played.office.dead.first(9)
    assert letter.wire.body == b"a"
    assert letter.wire.headers[topology.DEAD_REASON_HEADER] == "no offer"
    assert letter.wire.headers[topology.DEAD_PRIORITY_HEADER] == 3


# -- the master's mail -----------------------------------------------------------------------------------------------


def test_claims_and_events_come_in_order_under_the_verified_name() -> None:
    played = Played()
    played.join(1, user="ann")
    assert outcome(played.say(1, "claims", body=b"1")) == "taken"
    assert outcome(played.say(1, "events", body=b"2")) == "taken"
    told = [each for each in played.actions if isinstance(each, TellMaster)]
    assert [(each.queue, each.user, each.wire.body) for each in told] == [
        ("claims", "ann", b"1"), ("events", "ann", b"2"),
    ]  # fmt: skip


def test_a_master_of_another_name_is_not_here() -> None:
    played = Played()
    played.join(1)
    assert outcome(played.say(1, "claims", key="other")) == "returned"


def test_what_the_master_has_not_acknowledged_is_bounded() -> None:
    played = Played(mail_bytes_max=1000)
    played.join(1)
    assert outcome(played.say(1, "events", body=b"x" * 900)) == "taken"
    assert outcome(played.say(1, "events", body=b"x" * 900)) == "full"
    assert outcome(played.say(1, "claims", body=b"x" * 900)) == "taken", "no log delays a claim"
    (delivery,) = [each.delivery for each in played.actions if isinstance(each, TellMaster) and each.queue == "events"]
    played.tell(MasterAcknowledged(delivery=delivery))
    assert outcome(played.say(1, "events", body=b"x" * 900)) == "taken"


def test_events_wait_while_the_master_is_busy_and_claims_pass_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masters_mail, "EVENTS_AT_ONCE", 2)
    played = Played()
    played.join(1)
    for body in (b"1", b"2", b"3"):
        played.say(1, "events", body=body)
    played.say(1, "claims", body=b"c")
    told = [each for each in played.actions if isinstance(each, TellMaster)]
    assert [each.wire.body for each in told] == [b"1", b"2", b"c"]
    assert [each.wire.body for each in played.tell(MasterAcknowledged(delivery=1)) if isinstance(each, TellMaster)] == [
        b"3"
    ]


def test_a_marker_comes_behind_the_claims_before_it() -> None:
    played = Played()
    played.join(1)
    played.say(1, "claims", body=b"c")
    played.publish("master.m.claims", "marker", exchange=topology.REPLIES)
    told = [each for each in played.actions if isinstance(each, TellMaster)]
    assert [(each.user, each.wire.body) for each in told] == [("agents", b"c"), ("master", b"marker")]


# -- what agents are told --------------------------------------------------------------------------------------------


def test_an_agent_is_told_at_its_address_and_nobody_else_is() -> None:
    played = Played()
    played.join(1)
    played.join(2)
    address = topology.control_address("agents", "i1", "n")
    told = played.publish(address, "x", exchange=topology.CONTROL, mandatory=True)
    assert [(each.connection, each.body) for each in told if isinstance(each, SendFrame)] == [(1, b"x")]
    frame = frames(told)[0]
    assert isinstance(frame, ToldFrame)
    assert (frame.exchange, frame.key, frame.user) == (topology.CONTROL, address, "master")
    played.tell(AgentLeft(connection=1))
    assert played.publish(address, exchange=topology.CONTROL, mandatory=True) == [
        GiveBackToMaster(number=played.published)
    ]


def test_all_are_told_what_is_for_all_and_only_operators_what_the_fleet_says() -> None:
    played = Played()
    played.join(1)
    played.join(2, user="desk", role="operator")
    assert len(frames(played.publish(topology.BROADCAST, exchange=topology.CONTROL))) == 2
    assert len(frames(played.publish(topology.CATALOGUE_KEY, exchange=topology.FLEET))) == 2
    work = played.publish(topology.WORK_KEY, exchange=topology.FLEET)
    status = played.say(1, "fleet", key=topology.STATUS_KEY)
    assert frames(work, 1) == []
    assert [frame.f for frame in frames(work, 2)] == ["told"]
    assert [frame.f for frame in frames(status, 1)] == ["answer"]
    assert [frame.f for frame in frames(status, 2)] == ["told"]
    assert [each.user for each in status if isinstance(each, TellFleet)] == ["agents"]


# -- strangers -------------------------------------------------------------------------------------------------------


def test_an_agent_tells_no_other_agent_anything() -> None:
    played = Played()
    played.join(1)
    played.join(2)
    address = topology.control_address("agents", "i2", "n")
    found = played.say(1, "control", key=address)
    assert [each.connection for each in found if isinstance(each, CutOff)] == [1]
    assert frames(found) == []


def test_an_operator_tells_agents_under_its_own_name() -> None:
    played = Played()
    played.join(1)
    played.join(2, user="desk", role="operator")
    address = topology.control_address("agents", "i1", "n")
    (told,) = [frame for frame in frames(played.say(2, "control", key=address), 1) if isinstance(frame, ToldFrame)]
    assert told.user == "desk"
    assert outcome(played.say(2, "control", key="agent.a.b.c")) == "returned"


def test_nobody_takes_anothers_address() -> None:
    played = Played()
    played.join(1)
    address = topology.control_address("agents", "i1", "n")
    assert [each.connection for each in played.tell(AgentJoined(connection=2, user="agents", address=address))
            if isinstance(each, CutOff)] == [2]  # fmt: skip
    assert len(frames(played.publish(address, exchange=topology.CONTROL), 1)) == 1
    assert played.tell(AgentLeft(connection=2)) == []


def test_who_hoards_offers_is_cut_off_and_they_go_to_others() -> None:
    played = Played()
    played.join(1)
    played.join(2)
    for number in range(HELD_MAX + 1):
        played.publish(GTK, str(number))
        played.consume(1, GTK, seen=number)
    cut = [each for each in played.actions if isinstance(each, CutOff)]
    assert [each.connection for each in cut] == [1]
    assert offers(played.consume(2, GTK, seen=0)) == [(2, "0", True, 0)]


def test_offers_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(office, "OFFERS_BYTES_MAX", 100)
    played = Played()
    assert played.publish(GTK, "x" * 90, mandatory=True) == []
    assert played.publish(GTK, "x" * 90, mandatory=True) == [GiveBackToMaster(number=2)]


def test_dead_letters_are_bounded_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "DEAD_MAX", 3)
    played = Played()
    played.join(1)
    for number in range(5):
        played.say(1, "dead", key="q", body=b"%d" % number)
    assert [letter.wire.body for letter in played.office.dead.first(9)] == [b"2", b"3", b"4"]
    assert played.office.dead.dropped == 2


@pytest.mark.parametrize(
    "frame",
    [
        Offered(delivery=1, queue=GTK, user="m", redelivered=False, parkings=0, message=CARRIED),
        There(number=1, queues=()),
    ],
)
def test_a_frame_that_no_agent_sends_ends_its_connection(frame: Frame) -> None:
    played = Played()
    played.join(1)
    assert [type(each) for each in played.frame(1, frame)] == [CutOff]


# -- operators ---------------------------------------------------------------------------------------------------------


def test_an_operator_is_told_how_full_queues_are() -> None:
    played = Played()
    played.join(1)
    played.join(2, user="desk", role="operator")
    for text in "abc":
        played.publish(GTK, text)
    played.consume(1, GTK, seen=0)
    played.settle(1, 1, "park")
    played.consume(1, GTK, WX, seen=1)
    played.say(1, "claims", body=b"c")
    (counted,) = frames(played.frame(2, CountQueues(number=1)), 2)
    assert isinstance(counted, Counted)
    found = {each.queue: (each.ready, each.held, each.consumers) for each in counted.counts}
    assert found == {
        GTK: (1, 1, 0), WX: (0, 0, 0), "claims.m": (0, 1, 1), "events.m": (0, 0, 1), "parked": (1, 0, 0),
        "dead": (0, 0, 0),
    }  # fmt: skip
    (one,) = frames(played.frame(2, CountQueues(number=2, queues=(WX, "cap.none"))), 2)
    assert isinstance(one, Counted)
    assert [each.queue for each in one.counts] == [WX]


def test_what_is_dead_is_walked_through_dropped_and_sent_again() -> None:
    played = Played()
    played.join(1)
    played.join(2, user="desk", role="operator")
    for text in (b"a", b"b", b"c"):
        played.say(1, "dead", key="q", body=text)

    def after(place: int) -> tuple[int, bytes]:
        (sent,) = [each for each in played.frame(2, NextDead(number=1, after=place)) if isinstance(each, SendFrame)]
        assert isinstance(sent.frame, OfDead)
        return sent.frame.place, sent.body

    def settle(place: int, how: str, queue: str = "") -> str:
        fields = {"number": 1, "place": place, "how": how, "queue": queue, "priority": 3}
        return outcome(played.frame(2, SettleDead.model_validate(fields)))

    assert [after(0), after(1), after(2), after(3)] == [(1, b"a"), (2, b"b"), (3, b"c"), (0, b"")]
    assert settle(2, "drop") == "taken"
    assert settle(2, "drop") == "returned"
    assert after(1) == (3, b"c")
    assert settle(1, "again", "cap.none") == "returned", "nobody would take it: it stays"
    assert settle(1, "again", GTK) == "taken"
    assert after(0) == (3, b"c")
    (offered,) = [frame for frame in frames(played.consume(1, GTK, seen=0)) if isinstance(frame, Offered)]
    assert (offered.user, offered.message.headers[topology.AGAIN_HEADER]) == ("desk", "true")


@pytest.mark.parametrize("frame", [CountQueues(number=1), NextDead(number=1, after=0)])
def test_an_agent_does_nothing_of_an_operators(frame: Frame) -> None:
    played = Played()
    played.join(1)
    assert [type(each) for each in played.frame(1, frame)] == [CutOff]


@pytest.mark.parametrize("to", ["claims", "events", "fleet", "dead"])
def test_an_operator_says_nothing_of_an_agents(to: str) -> None:
    played = Played()
    played.join(2, user="desk", role="operator")
    assert [type(each) for each in played.say(2, to)] == [CutOff]
    assert len(played.office.dead) == 0


# -- anything ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_each_offer_is_with_one_or_waits(seed: int) -> None:
    """Random agents that come, go, take, settle and hoard: no offer is with two, none is lost, none is made up."""
    dice, played = Random(seed), Played()
    alive: dict[int, int] = {}  # connection -> offers that it has seen
    held: dict[int, dict[int, str]] = {}
    settled: set[str] = set()
    made: set[str] = set()
    number = 0
    for step in range(300):
        before = len(played.actions)
        what = dice.choice(("join", "leave", "publish", "publish", "consume", "consume", "settle", "settle", "time"))
        if what == "join" and len(alive) < 5:
            number += 1
            alive[number], held[number] = 0, {}
            played.join(number)
        elif what == "publish":
            made.add(text := str(step))
            played.publish(dice.choice((GTK, WX)), text, priority=dice.randrange(3))
        elif what == "time":
            played.later(dice.choice((0.5, PARKED_TTL)))
        elif alive:
            one = dice.choice(sorted(alive))
            if what == "leave":
                del alive[one], held[one]
                played.tell(AgentLeft(connection=one))
            elif what == "consume":
                crossed = dice.choice((0, 0, 1)) if alive[one] else 0
                played.consume(one, *dice.sample((GTK, WX), dice.randrange(3)), seen=alive[one] - crossed)
            elif what == "settle" and held[one]:
                delivery = dice.choice(sorted(held[one]))
                text, how = held[one].pop(delivery), dice.choice(("ack", "park", "back", "dead"))
                if how in ("ack", "dead"):
                    settled.add(text)
                played.settle(one, delivery, how)
        for each in played.actions[before:]:
            if isinstance(each, SendFrame) and isinstance(each.frame, Offered):
                text = each.body.decode()
                assert text not in settled, "it was done with"
                assert all(text not in other.values() for other in held.values()), "it is with another one"
                alive[each.connection] += 1
                held[each.connection][each.frame.delivery] = text
                assert each.frame.delivery == alive[each.connection]
    for one in list(alive):
        played.tell(AgentLeft(connection=one))
    played.later(2 * PARKED_TTL)
    waiting = {wire.body.decode() for queue in (GTK, WX) for _number, wire in played.office.waiting(queue)}
    assert waiting == made - settled
