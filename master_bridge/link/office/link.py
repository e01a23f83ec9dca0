"""The bridge's link to agents that come to this master itself: a post office in this process, and its door."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import structlog
from twisted.internet import defer

from contracts import topology
from contracts.codec import Wire, decode
from contracts.errors import BadMessage
from contracts.frames.frames import Denied, Frame, Hello, Receive
from contracts.machines.exhaustive import assert_never
from contracts.messages import Catalogue, Offer
from contracts.operations.office_url import parse_listen_url
from contracts.operations.program_version import version
from contracts.topology import claims_key, events_key, key_word
from contracts.trust.envelope import Envelope
from master_bridge.link import publications
from master_bridge.link.backoff import Backoff
from master_bridge.link.carried import Delivered, Publication, wire_of
from master_bridge.link.client import LinkClient, Listening
from master_bridge.link.errors import BadSettings
from master_bridge.link.office.accounts import ACCOUNTS_FILE, AgentAccounts, KnownAgent
from master_bridge.link.office.door import AddressTaken, Door
from master_bridge.link.office.kept_claims import CLAIMS_FILE, KeptClaims
from master_bridge.link.office.wires import Listener, listeners_of
from master_bridge.link.port import NOT_STARTED
from master_bridge.link.reader import Reader
from master_bridge.link.saying import SayingLink
from master_bridge.link.settings import LinkSettings
from master_bridge.post_office.actions import (
    CutOff,
    ForgetClaim,
    GiveBackToMaster,
    KeepClaim,
    OfficeAction,
    SendFrame,
    TellDied,
    TellFleet,
    TellMaster,
)
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
from master_bridge.post_office.office import PostOffice

log = structlog.get_logger(__name__)


class OfficeLink(SayingLink):
    """Listens from `start` to `stop`, and carries messages both ways; `folder` is the master's.

    Nothing is lost between the office and this side: what is published is there when the call returns.
    """

    def __init__(self, reactor: Any, settings: LinkSettings, client: LinkClient, folder: Path) -> None:
        self._reactor = reactor
        self._settings = settings
        self._client = Listening(client)
        self._folder = folder
        self._sign = settings.signer()
        self._backoff = Backoff()
        self._office = PostOffice(settings.master, settings.user, mail_bytes_max=settings.events_max_bytes)
        self._kept: KeptClaims | None = None
        self._door: Door | None = None
        self._listeners: list[Listener] = []
        self._retry: Any = None
        self._tick: Any = None
        self._running = False
        self._complained = ""
        #: what the office is to be told next: what it says may lead to more
        self._news: deque[OfficeInput] = deque()
        self._telling = False
        self._numbers = 0
        #: publications that come back where nobody is there
        self._mandatory: dict[int, Publication] = {}
        self._deliveries: dict[int, Delivered] = {}
        #: connection -> account
        self._operators: dict[int, str] = {}
        self._reader = Reader(
            settings.master,
            self._client,
            publish=self._publish,
            answer=lambda found: self._publish(publications.to_agent(found.answer, found.address, found.version)),
        )
        self.up = False
        self.product = f"post office {version()}"
        self.down_reason: str | None = NOT_STARTED

    @property
    def unconfirmed(self) -> int:
        return 0

    # -- up and down --------------------------------------------------------------------------------------------------

    def listens_at(self, *places: LinkSettings | None) -> bool:
        return self._settings in places

    def start(self) -> None:
        if not self._running:
            self._running = True
            self._try()
        elif self.up:
            self._tell_up()
            for number, delivered in list(self._deliveries.items()):  # as at each link-up
                self._tell_client(number, delivered)

    def leave(self, reason: str) -> None:
        """The client is told that it is down, and nothing more. Agents go on as before, and `stop` does nothing."""
        if self.up:
            self._client.link_down(reason)
        self._client.who = None

    def take_over(self, client: LinkClient) -> None:
        """What was left has a client again, which is told from its `start` on."""
        self._client.who = client

    def _try(self) -> None:
        self._retry = None
        try:
            self._open()
        except AddressTaken as error:
            self.down_reason = str(error)
            if self.down_reason != self._complained:
                self._complained = self.down_reason
                log.warning("agents_door_closed", reason=self.down_reason, retry="for ever")
            self._retry = self._reactor.callLater(self._backoff.next(), self._try)
        except BadSettings as error:
            self._running = False
            self.down_reason = str(error)
            log.error("amqp.link_stopped", reason=str(error))
            self._client.link_stopped(str(error))
        else:
            self.up, self.down_reason, self._complained = True, None, ""
            self._tell_up()
            if self._kept is not None:
                self._tell(ClaimsRestored(claims=self._kept.found()))

    def _tell_up(self) -> None:
        log.info("amqp.link_up", broker=self.product, address=self._settings.where)
        self._client.link_up()

    def _open(self) -> None:
        """Raises `BadSettings`."""
        if self._kept is None:
            self._kept = KeptClaims(self._folder / CLAIMS_FILE)
        door = Door(self._reactor, AgentAccounts(self._folder / ACCOUNTS_FILE), self)
        address = parse_listen_url(self._settings.url)
        listeners = listeners_of(self._reactor, address, door, self._folder, self._settings.tls)
        for number, listener in enumerate(listeners):
            try:
                listener.start()
            except BaseException:
                for started in listeners[:number]:
                    started.stop()
                raise
        door.open()
        self._door, self._listeners = door, listeners
        if not len(door.accounts):
            log.warning(
                "no_agent_has_an_account", remedy=f"master-bridge enroll NAME --master-dir {self._folder} makes one"
            )

    @defer.inlineCallbacks
    def stop(self, timeout: float = 2.0) -> Any:
        """Fires when nobody is listened for any more."""
        if self._client.who is None:
            return
        self._running = False
        for timer in (self._retry, self._tick):
            if timer is not None and timer.active():
                timer.cancel()
        was_up, self.up, self.down_reason = self.up, False, "stopped"
        if self._door is not None:
            self._door.close("the master stops")
        for listener in self._listeners:
            yield listener.stop()
        self._deliveries.clear()
        if self._kept is not None:
            self._kept.close()
            self._kept = None
        if was_up:
            self._client.link_down("stopped")

    # -- the office ---------------------------------------------------------------------------------------------------

    def _tell(self, news: OfficeInput) -> None:
        """In order, one after the other, whoever calls from wherever."""
        self._news.append(news)
        if self._telling:
            return
        self._telling = True
        try:
            while self._news:
                news = self._news.popleft()
                for action in self._office.handle(news, self._reactor.seconds()):
                    self._carry_out(action)
                if isinstance(news, MasterPublished):  # it is there now, or came back
                    self._mandatory.pop(news.number, None)
        finally:
            self._telling = False
        self._wind()

    def _wind(self) -> None:
        deadline = self._office.deadline
        if self._tick is not None and self._tick.active():
            self._tick.cancel()
        self._tick = None
        if deadline is not None and self._running:
            delay = max(0.0, deadline - self._reactor.seconds())
            self._tick = self._reactor.callLater(delay, self._tell, OfficeTick())

    def _carry_out(self, action: OfficeAction) -> None:
        if isinstance(action, SendFrame):
            if self._door is not None:
                self._door.send(action.connection, action.frame, action.body)
        elif isinstance(action, TellMaster):
            self._arrived(action)
        elif isinstance(action, TellFleet):
            self._heard_of_fleet(action)
        elif isinstance(action, TellDied):
            log.warning("agent_died", address=action.address)
            self._client.agent_died(action.address)
        elif isinstance(action, GiveBackToMaster):
            self._returned(action.number)
        elif isinstance(action, KeepClaim):
            if self._kept is not None:
                self._kept.keep(action)
        elif isinstance(action, ForgetClaim):
            if self._kept is not None:
                self._kept.forget(action)
        elif isinstance(action, CutOff):
            if self._door is not None:
                self._door.disconnect(action.connection, action.reason)
        else:
            assert_never(action)

    # -- the door's side: `door.Office` -------------------------------------------------------------------------------

    def joined(self, connection: int, account: KnownAgent, hello: Hello) -> Denied | None:
        """A login is good."""
        if key_word(account.user) == key_word(self.user):
            return Denied(part="login", reason="an agent's account cannot be named as its master is")
        if account.role == "operator":
            self._operators[connection] = account.user
        self._tell(AgentJoined(connection=connection, user=account.user, address=hello.address, role=hello.role))
        return None

    def came(self, connection: int, frame: Frame, body: bytes) -> None:
        """A frame of a connection that has joined."""
        if isinstance(frame, Receive):
            log.info("operator_receives", account=self._operators.get(connection), name=frame.master)
        self._tell(FrameCame(connection=connection, frame=frame, body=body))

    def left(self, connection: int, *, died: bool = False) -> None:
        """It has ended."""
        self._operators.pop(connection, None)
        self._tell(AgentLeft(connection=connection, died=died))

    # -- what agents say ----------------------------------------------------------------------------------------------

    def _arrived(self, action: TellMaster) -> None:
        key = claims_key if action.queue == "claims" else events_key
        delivery = action.delivery
        delivered = Delivered(
            body=action.wire.body,
            headers=dict(action.wire.headers),
            envelope=_envelope(topology.REPLIES, key(action.user, self._settings.master), action.user),
            queue=f"{action.queue}.{self._settings.master}",
            ack=lambda: self._tell(MasterAcknowledged(delivery=delivery)),
        )
        self._tell_client(delivery, delivered)

    def _tell_client(self, number: int, delivered: Delivered) -> None:
        reply = self._reader.reply(delivered)
        if reply is None:
            delivered.ack()
            return
        self._deliveries[number] = delivered
        self._client.message_received(number, reply.message, reply.user, reply.size)

    def _heard_of_fleet(self, action: TellFleet) -> None:
        delivered = Delivered(
            body=action.wire.body,
            headers=dict(action.wire.headers),
            envelope=_envelope(topology.FLEET, action.key, action.user),
            queue="fleet",
            ack=lambda: None,
        )
        if (message := self._reader.of_fleet(delivered)) is not None:
            self._client.fleet_heard(message)

    # -- what the master says -----------------------------------------------------------------------------------------

    def publish_offer(self, offer: Offer, priority: int = 0) -> None:
        if self.up:
            self.ensure_queues([offer.signature])
            self._publish(publications.of_offer(offer, priority))

    def ensure_queues(self, signatures: Iterable[str], then: Callable[[], None] | None = None) -> None:
        if self.up:
            self._tell(QueuesDeclared(queues=frozenset(map(topology.cap_queue, signatures))))
            if then is not None:
                then()

    def publish_catalogue(self, catalogue: Catalogue) -> None:
        self.ensure_queues(
            catalogue.signatures, then=lambda: self._publish(publications.of_catalogue(catalogue, made=0.0))
        )

    def _publish(self, publication: Publication) -> None:
        if not self.up:
            return
        wire = wire_of(publication, self._sign)
        if wire is None:
            return
        self._numbers += 1
        if publication.mandatory:
            self._mandatory[self._numbers] = publication
        number = self._numbers
        self._tell(
            MasterPublished(
                number=number,
                exchange=publication.exchange,
                key=publication.routing_key,
                wire=wire,
                mandatory=publication.mandatory,
                priority=publication.priority or 0,
            )
        )

    def _returned(self, number: int) -> None:
        publication = self._mandatory.pop(number, None)
        if publication is None or publication.message is None:
            return
        if isinstance(publication.message, Offer):
            log.error("offer_found_no_room", queue=publication.routing_key, remedy="this fleet needs RabbitMQ")
        else:
            self._client.message_returned(publication.message, publication.routing_key)  # type: ignore[arg-type]  # ours

    # -- queues -------------------------------------------------------------------------------------------------------

    def sweep(self, signature: str, stale: Callable[[Offer], bool]) -> defer.Deferred[Any]:
        queue = topology.cap_queue(signature)
        numbers = frozenset(
            number for number, wire in self._office.waiting(queue) if _is_stale(wire.body, wire.headers, stale)
        )
        self._tell(OffersSwept(queue=queue, numbers=numbers))
        return defer.succeed(len(numbers))

    def peek(self, queue: str, limit: int) -> defer.Deferred[Any]:
        """As over RabbitMQ: of `dead`, and of what waits in a `cap.*` queue."""
        if queue == topology.DEAD_QUEUE:
            letters = self._office.dead.first(limit)
            seen = [(letter.key, _properties(letter.user, letter.wire), letter.wire.body) for letter in letters]
            return defer.succeed((seen, len(self._office.dead) - len(letters)))
        waiting = self._office.waiting(queue)
        shown = [(queue, _properties(self.user, wire), wire.body) for _number, wire in waiting[:limit]]
        return defer.succeed((shown, len(waiting) - len(shown)))

    def delete_empty(self, signature: str) -> defer.Deferred[Any]:
        queue = topology.cap_queue(signature)
        empty = not self._office.waiting(queue)
        self._tell(QueueDeleted(queue=queue))
        return defer.succeed(empty)


def _envelope(exchange: str, key: str, user: str) -> Envelope:
    """The office has verified who said it, and by which way it came."""
    return Envelope(exchange=exchange, routing_key=key, user_id=user, dead_lettered=False)


def _is_stale(body: bytes, headers: Any, stale: Callable[[Offer], bool]) -> bool:
    try:
        message = decode(body, headers)
    except BadMessage:
        return False
    return isinstance(message, Offer) and stale(message)


def _properties(user: str, wire: Wire) -> SimpleNamespace:
    """What of AMQP's properties is read of a message that waits."""
    return SimpleNamespace(headers=dict(wire.headers), user_id=user, type=wire.type, timestamp=None, priority=None)
