"""The post office itself: inputs in, actions out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from typing import Literal

from contracts import topology
from contracts.burial import headers_of
from contracts.codec import Wire
from contracts.frames.frames import (
    Answer,
    Beat,
    Bye,
    Carried,
    ConsumeFrom,
    Counted,
    CountQueues,
    LookFor,
    Missing,
    NextDead,
    Offered,
    QueueCount,
    Receive,
    Received,
    Say,
    Settle,
    SettleDead,
    There,
    Told,
)
from contracts.timing import PARKED_TTL
from master_bridge.post_office.actions import (
    CutOff,
    GiveBackToMaster,
    OfficeAction,
    SendFrame,
    TellDied,
    TellFleet,
)
from master_bridge.post_office.connections import HELD_MAX, OfficeConnection, OfficeConnections
from master_bridge.post_office.dead_letters import DeadLetters
from master_bridge.post_office.inputs import (
    AgentJoined,
    AgentLeft,
    ClaimsRestored,
    FrameCame,
    MasterAcknowledged,
    MasterPublished,
    OffersSwept,
    OfficeInput,
    OfficeTick,
    QueueDeleted,
    QueuesDeclared,
)
from master_bridge.post_office.masters_mail import MastersMail
from master_bridge.post_office.offers import WaitingOffer, WaitingOffers
from master_bridge.post_office.replies import OperatorsReplies

#: Bytes of all offers together, and of claims and events each, unless told otherwise.
OFFERS_BYTES_MAX = 256 * 1024 * 1024
MAIL_BYTES_MAX = 256 * 1024 * 1024
#: Queues of one `Counted`: so many of the longest names fit into a frame.
COUNTED_MAX = 1_000


class PostOffice:
    """Of one master. `user`: whose name stands on what the master says; no account has it."""

    def __init__(self, master: str, user: str, *, mail_bytes_max: int = MAIL_BYTES_MAX) -> None:
        self._master = master
        self._user = user
        self._offers = WaitingOffers(bytes_max=OFFERS_BYTES_MAX, parked_for=PARKED_TTL)
        self._mail = MastersMail(bytes_max=mail_bytes_max)
        self._connections = OfficeConnections()
        self._replies = OperatorsReplies()
        self.dead = DeadLetters()

    def handle(self, news: OfficeInput, now: float) -> list[OfficeAction]:
        """`now`: monotonic seconds."""
        return [*self._unpark(now), *self._take_in(news, now), *self._mail.next()]

    @property
    def deadline(self) -> float | None:
        """When the next `OfficeTick` is wanted."""
        return self._offers.deadline

    def waiting(self, queue: str) -> tuple[tuple[int, Wire], ...]:
        """Number and offer of all that wait in a queue, as they would be handed out."""
        return tuple((offer.place, offer.wire) for offer in self._offers.waiting(queue))

    def left_over(self) -> str:
        """What is not done with, for people: offers that wait or are held, claims and events; "" for nothing."""
        held = sum(len(connection.held) for connection in self._connections)
        parts = {"bytes of offers": self._offers.bytes, "offers held": held, **self._mail.bytes}
        return ", ".join(f"{count} {what}" for what, count in parts.items() if count)

    def _take_in(self, news: OfficeInput, now: float) -> Iterator[OfficeAction]:
        if isinstance(news, FrameCame):
            connection = self._connections.get(news.connection)
            if connection is not None:
                yield from self._frame(connection, news, now)
        elif isinstance(news, MasterPublished):
            yield from self._published(news)
        elif isinstance(news, MasterAcknowledged):
            yield from self._mail.acknowledge(news.delivery)
        elif isinstance(news, AgentJoined):
            yield from self._joined(news)
        elif isinstance(news, ClaimsRestored):
            self._mail.restore(news.claims)
        elif isinstance(news, AgentLeft):
            connection = self._connections.get(news.connection)
            if connection is not None:
                yield from self._left(connection)
                if news.died and not connection.operates:
                    yield TellDied(address=connection.address)
        elif isinstance(news, QueuesDeclared):
            for queue in news.queues:
                self._offers.declare(queue)
        elif isinstance(news, QueueDeleted):
            if self._offers.delete(news.queue):
                for connection in self._connections.of_queue(news.queue):
                    yield SendFrame(connection=connection.number, frame=Missing(queue=news.queue))
        elif isinstance(news, OffersSwept):
            self._offers.remove(news.queue, news.numbers)
        elif not isinstance(news, OfficeTick):
            raise TypeError(f"no input of a post office: {news!r}")

    def _unpark(self, now: float) -> Iterator[OfficeAction]:
        for queue in list(self._offers.unpark(now)):
            yield from self._hand_out(queue)

    # -- connections --------------------------------------------------------------------------------------------------

    def _joined(self, news: AgentJoined) -> Iterator[OfficeAction]:
        connection = OfficeConnection(news.connection, news.user, news.address, news.role)
        if not self._connections.add(connection):
            yield CutOff(connection=news.connection, reason="somebody is connected with this address already")

    def _left(self, connection: OfficeConnection) -> Iterator[OfficeAction]:
        """What it held goes to others, marked as redelivered."""
        self._connections.remove(connection)
        self._replies.leave(connection.number)
        held, connection.held = list(connection.held.values()), {}
        for offer in held:
            self._offers.give_back(offer)
        for queue in dict.fromkeys(offer.queue for offer in held):
            yield from self._hand_out(queue)

    def _frame(self, connection: OfficeConnection, news: FrameCame, now: float) -> Iterator[OfficeAction]:
        frame = news.frame
        if isinstance(frame, _OPERATORS if not connection.operates else _AGENTS):
            yield from self._cut_off(connection, f"no {connection.role} sends a {frame.f}")
        elif isinstance(frame, Say):
            yield from self._say(connection, frame, news.body)
        elif isinstance(frame, ConsumeFrom):
            yield from self._consume(connection, frame)
        elif isinstance(frame, Settle):
            yield from self._settle(connection, frame, now)
        elif isinstance(frame, LookFor):
            there = tuple(queue for queue in frame.queues if self._offers.exists(queue))
            yield SendFrame(connection=connection.number, frame=There(number=frame.number, queues=there))
        elif isinstance(frame, CountQueues):
            yield SendFrame(connection=connection.number, frame=self._counted(frame))
        elif isinstance(frame, NextDead):
            yield from self.dead.tell(connection.number, frame)
        elif isinstance(frame, Receive):
            taken = frame.master != self._master and self._replies.receive(
                frame.master, connection.number, connection.user
            )
            answer = Answer(number=frame.number, outcome="taken" if taken else "returned")
            yield SendFrame(connection=connection.number, frame=answer)
        elif isinstance(frame, Received):
            mail = self._replies.of(connection.number)
            if mail is not None:
                mail.settle(frame.delivery)
                yield from mail.next()
        elif isinstance(frame, SettleDead):
            done = self.dead.settle(frame, self._offers, connection.user)
            answer = Answer(number=frame.number, outcome="taken" if done else "returned")
            yield SendFrame(connection=connection.number, frame=answer)
            yield from self._hand_out(frame.queue)
        elif not isinstance(frame, (Beat, Bye)):
            yield from self._cut_off(connection, f"no {connection.role} sends a {frame.f}")

    def _counted(self, frame: CountQueues) -> Counted:
        """As RabbitMQ's management tells it: the master's own queues, too."""
        held = Counter(offer.queue for connection in self._connections for offer in connection.held.values())
        found = [
            QueueCount(
                queue=queue,
                ready=len(self._offers.waiting(queue)),
                held=held[queue],
                consumers=len(self._connections.of_queue(queue)),
            )
            for queue in self._offers.queues
        ]
        for queue, (ready, with_master) in (
            (topology.claims_queue(self._master), self._mail.count("claims")),
            (topology.events_queue(self._master), self._mail.count("events")),
        ):
            found.append(QueueCount(queue=queue, ready=ready, held=with_master, consumers=1))
        parked, dead = self._offers.parked, len(self.dead)
        found.append(QueueCount(queue=topology.PARKED_QUEUE, ready=parked, held=0, consumers=0))
        found.append(QueueCount(queue=topology.DEAD_QUEUE, ready=dead, held=0, consumers=0))
        wanted = [count for count in found if not frame.queues or count.queue in frame.queues]
        return Counted(number=frame.number, counts=tuple(wanted[:COUNTED_MAX]))

    def _cut_off(self, connection: OfficeConnection, reason: str) -> Iterator[OfficeAction]:
        yield CutOff(connection=connection.number, reason=reason)
        yield from self._left(connection)

    # -- offers -------------------------------------------------------------------------------------------------------

    def _consume(self, connection: OfficeConnection, frame: ConsumeFrom) -> Iterator[OfficeAction]:
        if frame.seen != connection.handed:
            return  # it crossed an offer on its way: another one follows, which knows of that
        if len(connection.held) >= HELD_MAX and frame.queues:
            yield from self._cut_off(connection, f"it holds {HELD_MAX} offers, and wants more")
            return
        queues = tuple(dict.fromkeys(frame.queues))
        for queue in queues:
            if not self._offers.exists(queue):
                yield SendFrame(connection=connection.number, frame=Missing(queue=queue))
        self._connections.want(connection, tuple(queue for queue in queues if self._offers.exists(queue)))
        for queue in connection.wanted:
            yield from self._hand_out(queue)

    def _hand_out(self, queue: str) -> Iterator[OfficeAction]:
        """The offers of this queue, as far as somebody is ready for them."""
        while (connection := self._connections.first(queue)) is not None:
            offer = self._offers.take(queue)
            if offer is None:
                return
            self._connections.not_ready(connection)
            connection.handed += 1
            connection.held[connection.handed] = offer
            yield _offered(connection, offer, self._user)

    def _settle(self, connection: OfficeConnection, frame: Settle, now: float) -> Iterator[OfficeAction]:
        offer = connection.held.pop(frame.delivery, None)
        if offer is None:
            return
        if frame.how == "back":
            self._offers.give_back(offer)
            yield from self._hand_out(offer.queue)
        elif frame.how == "park":
            self._offers.park(offer, now)
        else:
            if frame.how == "dead":
                headers = headers_of(
                    offer.wire.headers, reason=frame.reason, queue=offer.queue, agent=connection.user,
                    priority=-offer.rank,
                )  # fmt: skip
                self._bury(connection.user, offer.queue, offer.wire, headers)
            self._offers.drop(offer)

    def _bury(self, user: str, key: str, wire: Wire, headers: dict[str, object]) -> None:
        dead = Wire(type=wire.type, content_type=wire.content_type, body=wire.body, headers=headers)
        self.dead.add(user, key, dead)

    # -- what agents and operators say ---------------------------------------------------------------------------------

    def _say(self, connection: OfficeConnection, frame: Say, body: bytes) -> Iterator[OfficeAction]:
        wire = Wire(
            type=frame.message.type, content_type=frame.message.content_type, body=body, headers=frame.message.headers
        )
        outcome: Literal["taken", "returned", "full"] = "taken"
        own = self._replies.of(connection.number)
        to_itself = frame.to == "claims" and own is not None and own is self._replies.to(frame.key)
        if connection.operates != (frame.to == "control" or to_itself):
            reason = (
                "an operator speaks for no agent" if connection.operates else "only an operator tells agents what to do"
            )
            yield from self._cut_off(connection, reason)
            return
        if frame.to in ("claims", "events"):
            outcome = yield from self._for_master(connection, frame, wire)
        elif frame.to == "fleet":
            yield TellFleet(user=connection.user, key=topology.STATUS_KEY, wire=wire)
            yield from self._to_operators(topology.STATUS_KEY, connection.user, wire)
        elif frame.to == "dead":
            self._bury(connection.user, frame.key, wire, dict(wire.headers))
        else:
            told = list(self._told(topology.CONTROL, frame.key, connection.user, wire))
            outcome = "taken" if told or frame.key in (topology.BROADCAST, topology.TELL) else "returned"
            yield from told
        yield SendFrame(connection=connection.number, frame=Answer(number=frame.number, outcome=outcome))

    def _for_master(
        self, connection: OfficeConnection, frame: Say, wire: Wire
    ) -> Generator[OfficeAction, None, Literal["taken", "returned", "full"]]:
        """What becomes of it."""
        mail = self._replies.to(frame.key)
        if mail is not None:
            if not mail.add("claims" if frame.to == "claims" else "events", connection.user, wire):
                return "full"
            yield from mail.next()
            return "taken"
        if frame.key != self._master:
            return "returned"
        told = self._mail.add("claims" if frame.to == "claims" else "events", connection.user, wire)
        if told is None:
            return "full"
        if told.queue == "claims":
            yield self._mail.keep(told)
        return "taken"

    # -- what the master says -----------------------------------------------------------------------------------------

    def _published(self, news: MasterPublished) -> Iterator[OfficeAction]:
        there = True
        if news.exchange == topology.OFFERS:
            there = self._offers.add(news.key, news.wire, news.priority)
            if there:
                yield from self._hand_out(news.key)
        elif news.exchange == topology.CONTROL:
            told = list(self._told(topology.CONTROL, news.key, self._user, news.wire))
            there = bool(told)
            yield from told
        elif news.exchange == topology.REPLIES:
            self._mail.add("claims", self._user, news.wire)
        elif news.exchange == topology.FLEET:
            if news.key == topology.CATALOGUE_KEY:
                yield from self._told(topology.FLEET, news.key, self._user, news.wire, everybody=True)
            else:
                yield from self._to_operators(news.key, self._user, news.wire)
            yield TellFleet(user=self._user, key=news.key, wire=news.wire)
        else:
            self.dead.add(self._user, news.key, news.wire)
        if news.mandatory and not there:
            yield GiveBackToMaster(number=news.number)

    def _told(
        self, exchange: str, key: str, user: str, wire: Wire, *, everybody: bool = False
    ) -> Iterator[OfficeAction]:
        """To the address `key`; to all where it is for all."""
        told = Told(exchange=exchange, key=key, user=user, message=_carried(wire))
        if everybody or key in (topology.BROADCAST, topology.TELL):
            for connection in self._connections:
                yield SendFrame(connection=connection.number, frame=told, body=wire.body)
        elif (connection_at := self._connections.at(key)) is not None:
            yield SendFrame(connection=connection_at.number, frame=told, body=wire.body)

    def _to_operators(self, key: str, user: str, wire: Wire) -> Iterator[OfficeAction]:
        told = Told(exchange=topology.FLEET, key=key, user=user, message=_carried(wire))
        for connection in self._connections:
            if connection.operates:
                yield SendFrame(connection=connection.number, frame=told, body=wire.body)


#: What operators alone may say, and agents alone.
_OPERATORS = (CountQueues, NextDead, SettleDead, Receive, Received)
_AGENTS = (ConsumeFrom, Settle)


def _carried(wire: Wire) -> Carried:
    headers = {name: str(value) for name, value in wire.headers.items()}
    return Carried(type=wire.type, content_type=wire.content_type, headers=headers)


def _offered(connection: OfficeConnection, offer: WaitingOffer, user: str) -> SendFrame:
    frame = Offered(
        delivery=connection.handed,
        queue=offer.queue,
        user=offer.user or user,
        redelivered=offer.redelivered,
        parkings=offer.parkings,
        message=_carried(offer.wire),
    )
    return SendFrame(connection=connection.number, frame=frame, body=offer.wire.body)
