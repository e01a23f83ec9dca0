"""A master that is its own broker: its post office, and agents that come to it over one connection each.

The office is the real one; frames cross the real codec. A connection is the broker model's, of which only the two ways
and the losses are used.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from contracts import topology
from contracts.codec import Wire
from contracts.errors import BadMessage, BadSeal, NotBelieved
from contracts.frames.codec import Packed, pack, unpack
from contracts.frames.frames import (
    Answer,
    Beat,
    Carried,
    ConsumeFrom,
    Frame,
    Hello,
    Offered,
    Say,
    Settle,
    Told,
    Welcome,
)
from contracts.messages import AnyMessage, Message, Offer, Sealed, Status
from contracts.testing.memory_broker.connections import Connection
from contracts.timing import STATUS_INTERVAL
from contracts.topology import cap_queue, claims_key, control_address, events_key
from contracts.trust.envelope import Envelope
from master_bridge.core import actions as bridge_actions
from master_bridge.core import inputs as bridge_inputs
from master_bridge.link import publications
from master_bridge.link.carried import Publication
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
    QueuesDeclared,
)
from tests.simulation.hosts.link import Link
from tests.simulation.ledger import DELIVERIES_MAX, Violation
from tests.simulation.world import WALL, read
from worker_agent.core import actions, inputs

if TYPE_CHECKING:
    from tests.simulation.hosts.agent_host import AgentHost
    from tests.simulation.hosts.master_host import MasterHost

#: How the machine's orders on an offer are said.
_HOW: dict[type, str] = {
    actions.Ack: "ack", actions.Park: "park", actions.GiveBack: "back", actions.SendToDead: "dead",
}  # fmt: skip


class OfficeBridgeLink(Link):
    """The master's side: up as long as its process. What agents reach it is the world's `office`."""

    host: MasterHost

    def __init__(self, host: MasterHost, process: int) -> None:
        super().__init__(host, process)
        self.office = host.world.mutant.post_office(host.name, host.user, host.world.plan.events_limit)
        self._pipes: dict[int, Connection] = {}
        self._numbers: dict[Connection, int] = {}
        #: what ends because all processes of its agent have ended
        self._dead: set[Connection] = set()
        self._made = 0
        self._published = 0
        self._mandatory: dict[int, Publication] = {}
        self._news: deque[OfficeInput] = deque()
        self._telling = False
        self._held: dict[int, TellMaster] = {}

    # ---- what `Connection` asks of its broker

    @property
    def clock(self) -> Any:
        return self._clock

    def latency(self) -> float:
        low, high = self.host.world.plan.latency
        return self.host.world.between(low, high)

    def fraction(self) -> float:
        return self.host.world.dice.random()

    def forget(self, connection: Connection) -> None:
        number = self._numbers.pop(connection, None)
        if number is not None:
            del self._pipes[number]
            self._tell(AgentLeft(connection=number, died=connection in self._dead))

    def died(self, connection: Connection) -> None:
        """Its end follows."""
        self._dead.add(connection)

    # ---- life

    @property
    def connections(self) -> list[Connection]:
        return list(self._pipes.values())

    def connect(self) -> None:
        if self.closed:
            return
        self.up = True
        self.host.world.office = self
        self.host.world.note(self.host.name, "link up")
        queues = frozenset(map(cap_queue, self.host.signatures))
        self._tell(QueuesDeclared(queues=queues))
        self.host.world.queues_changed()
        self.host.feed(self.process, bridge_inputs.LinkUp())
        self.host.feed(self.process, bridge_inputs.Declared(signatures=frozenset(self.host.signatures)))
        kept = self.host.kept_claims
        self._tell(ClaimsRestored(claims=tuple(kept[delivery] for delivery in sorted(kept))))

    def close(self, *, power_off: bool = False) -> None:
        self.closed, self.up = True, False
        if self.host.world.office is self:
            self.host.world.office = None
        for connection in self.connections:
            if power_off:
                connection.cut()
            else:
                connection.to_client.send(connection.client_lost, "connection closed")
            connection.server_open = False
        self._pipes.clear()
        self._numbers.clear()

    def accept(self, name: str, user: str) -> Connection | None:
        """A connection of an agent; None: nobody listens there, or no packet passes."""
        if self.closed or self.host.unreachable:
            return None
        connection = Connection(self, name, heartbeat=self.host.world.plan.heartbeat, user=user)  # type: ignore[arg-type]  # of a broker it asks for these only
        self._made += 1
        self._pipes[self._made] = connection
        self._numbers[connection] = self._made
        return connection

    # ---- the office

    def came(self, connection: Connection, packed: Packed) -> None:
        """From an agent, whose first frame logs it in."""
        number = self._numbers.get(connection)
        if number is None or self.closed:
            return
        frame = unpack(packed)
        if isinstance(frame, Hello):
            self._tell(AgentJoined(connection=number, user=frame.user, address=frame.address))
            self._send(connection, Welcome(version=1, product="post office", silence=connection.heartbeat * 2))
        else:
            self._tell(FrameCame(connection=number, frame=frame, body=packed.body))

    def _send(self, connection: Connection, frame: Frame, body: bytes = b"") -> None:
        connection.to_client.send(connection.on_close.frame, pack(frame, body))  # type: ignore[attr-defined]  # the agent's

    def _tell(self, news: OfficeInput) -> None:
        self._news.append(news)
        if self._telling:
            return
        self._telling = True
        try:
            while self._news:
                told = self._news.popleft()
                for action in self.office.handle(told, self._clock.now):
                    self._carry(action)
                if isinstance(told, MasterPublished):
                    self._mandatory.pop(told.number, None)
        finally:
            self._telling = False
        deadline = self.office.deadline
        if deadline is not None:
            self._clock.call_at(max(deadline, self._clock.now), self._tick)

    def _tick(self) -> None:
        if not self.closed and self.office.deadline is not None and self.office.deadline <= self._clock.now:
            self._tell(OfficeTick())

    def _carry(self, action: OfficeAction) -> None:
        if isinstance(action, SendFrame):
            connection = self._pipes.get(action.connection)
            if connection is not None:
                self._send(connection, action.frame, action.body)
        elif isinstance(action, CutOff):
            connection = self._pipes.get(action.connection)
            if connection is not None:
                connection.reset()
        elif isinstance(action, TellMaster):
            self._clock.call_later(0.0, self._arrived, action)
        elif isinstance(action, TellFleet):
            self._fleet(action)
        elif isinstance(action, TellDied):
            self._clock.call_later(0.0, self._told_died, action)
        elif isinstance(action, KeepClaim):
            self.host.kept_claims[action.delivery] = action
        elif isinstance(action, ForgetClaim):
            self.host.kept_claims.pop(action.delivery, None)
        elif isinstance(action, GiveBackToMaster):
            self._clock.call_later(0.0, self._returned, self._mandatory.pop(action.number))

    def _told_died(self, action: TellDied) -> None:
        if not self.closed:
            self.host.world.note(self.host.name, f"hears that {action.address} died")
            self.host.feed(self.process, bridge_inputs.AgentDied(address=action.address))

    def _arrived(self, action: TellMaster) -> None:
        if self.closed:
            return
        self._held[action.delivery] = action
        message = read(action.wire)
        key = (claims_key if action.queue == "claims" else events_key)(action.user, self.host.name)
        try:
            user = Envelope.of(
                exchange=topology.REPLIES, routing_key=key, user_id=action.user, headers=action.wire.headers
            ).of_reply()
        except NotBelieved:
            message = BadMessage("not believed")
        if isinstance(message, BadMessage):
            self._publish_wire(topology.DEAD, "", action.wire)
            self.ack(action.delivery)
            return
        opened = self._opened(message, user, action)
        if opened is not None:
            self.host.heard(opened)
            self.host.feed(
                self.process, bridge_inputs.MessageReceived(delivery=action.delivery, message=opened, user=user)
            )

    def _opened(self, message: AnyMessage, user: str, action: TellMaster) -> AnyMessage | None:
        """None: it is answered."""
        try:
            opened = self.host.seals.incoming(message, user)
        except (BadSeal, NotBelieved) as error:
            self.host.world.note(self.host.name, f"ALARM {error}")
            if isinstance(message, Sealed):
                self._publish_wire(topology.DEAD, "", action.wire)
            opened = None
        if opened is None:
            self.ack(action.delivery)
        return opened

    def _fleet(self, action: TellFleet) -> None:
        status = read(action.wire)
        if isinstance(status, Status):
            news = bridge_inputs.AgentHeard(
                instance=status.instance, user=topology.key_word(action.user), every=status.every
            )
            self.host.feed(self.process, news)

    def _returned(self, publication: Publication) -> None:
        if not self.closed and publication.message is not None:
            self.host.world.note(self.host.name, f"returned for {publication.routing_key}")
            returned: Any = publication.message
            self.host.feed(self.process, bridge_inputs.Returned(message=returned, routing_key=publication.routing_key))

    # ---- what the machine wants

    def ack(self, delivery: int) -> None:
        if self._held.pop(delivery, None) is not None:
            self._tell(MasterAcknowledged(delivery=delivery))

    def carry_out(self, action: bridge_actions.Action) -> None:
        """The actions that publish or acknowledge."""
        if not self.up:
            return
        if isinstance(action, bridge_actions.Ack):
            self.ack(action.delivery)
        elif isinstance(action, bridge_actions.PublishOffer):
            self._publish(publications.of_offer(action.offer, action.priority))
        elif isinstance(action, bridge_actions.Send):
            try:
                message = self.host.seals.outgoing(action.message, action.address, action.terms)
            except BadSeal as error:
                self.host.world.note(self.host.name, f"cannot seal: {error}")
            else:
                self._publish(publications.to_agent(message, action.address, 1))
        elif isinstance(action, bridge_actions.Broadcast):
            self._publish(publications.to_all_agents(action.message))
        elif isinstance(action, bridge_actions.SendMarker):
            self._publish(publications.to_ourselves(action.message, self.host.user, self.host.name))
        elif isinstance(action, bridge_actions.SweepOffers):
            self._sweep(cap_queue(action.signature))
        elif isinstance(action, bridge_actions.DeadOffer):
            self._publish(publications.of_dead_offer(action.offer, 0, "three lives"))
        elif isinstance(action, bridge_actions.DeadLetter):
            held = self._held.get(action.delivery)
            if held is not None:
                self._publish_wire(topology.DEAD, "", held.wire)

    def _sweep(self, queue: str) -> None:
        machine = self.host.machine
        assert machine is not None
        stale = frozenset(
            number
            for number, wire in self.office.waiting(queue)
            if isinstance(offer := read(wire), Offer) and machine.is_stale(offer)
        )
        self._tell(OffersSwept(queue=queue, numbers=stale))

    def _publish(self, publication: Publication) -> None:
        message: Message | None = publication.message
        assert message is not None
        self._published += 1
        if publication.mandatory:
            self._mandatory[self._published] = publication
        self._publish_wire(
            publication.exchange,
            publication.routing_key,
            self.host.world.write_of_session(message),
            mandatory=publication.mandatory,
            priority=publication.priority or 0,
        )

    def _publish_wire(self, exchange: str, key: str, wire: Wire, *, mandatory: bool = False, priority: int = 0) -> None:
        self._tell(
            MasterPublished(
                number=self._published, exchange=exchange, key=key, wire=wire, mandatory=mandatory, priority=priority
            )
        )


class _Arrival:
    """What an agent's connection calls: `frame` with what comes, itself when it is lost."""

    def __init__(self, frame: Callable[[Packed], object], lost: Callable[[str], object]) -> None:
        self.frame = frame
        self._lost = lost

    def __call__(self, reason: str) -> None:
        self._lost(reason)


class OfficeAgentLink(Link):
    """An agent's side, as `worker_agent.link.frames.open_link` has it."""

    host: AgentHost

    def __init__(self, host: AgentHost, process: int) -> None:
        super().__init__(host, process)
        self.address = ""
        self._pipe: Connection | None = None
        self._office: OfficeBridgeLink | None = None
        self._wanted: tuple[str, ...] = ()
        self._seen = 0
        self._asked = -1
        self._handles = 0
        #: handle -> the office's number, and the offer as it came
        self._held: dict[int, tuple[int, Wire]] = {}
        self._numbers = 0
        self._tokens: dict[int, int] = {}

    @property
    def connections(self) -> list[Connection]:
        return [self._pipe] if self._pipe is not None and self._pipe.client_open else []

    def dies(self) -> None:
        pipe, office = self._pipe, self._office
        if pipe is not None and office is not None and pipe.client_open:
            pipe.to_server.send(office.died, pipe)

    def connect(self) -> None:
        self.host.when_thawed(self._connect)

    def _connect(self) -> None:
        if self.closed:
            return
        host = self.host
        office = host.world.office
        pipe = None if office is None or host.unreachable else office.accept(f"{host.label} comes", host.user)
        if office is None or pipe is None:
            self._clock.call_later(host.world.between(0.5, 1.5), self.connect)
            return
        self._pipe, self._office = pipe, office
        opened_at = self._clock.now
        epoch = host.disk.next_epoch()
        self.address = control_address(host.user, host.instance, f"{host.name}-{epoch:x}")
        pipe.on_close = _Arrival(
            lambda packed: host.when_thawed(self._came, pipe, packed, epoch, opened_at),
            lambda reason: host.when_thawed(self._lost, pipe, reason),
        )
        self._wanted, self._seen, self._asked = (), 0, -1
        self._send(Hello(user=host.user, agent=host.name, address=self.address))

    def _send(self, frame: Frame, body: bytes = b"") -> None:
        pipe, office = self._pipe, self._office
        if pipe is not None and office is not None and pipe.client_open:
            pipe.to_server.send(office.came, pipe, pack(frame, body))

    def _came(self, pipe: Connection, packed: Packed, epoch: int, opened_at: float) -> None:
        if self.closed or pipe is not self._pipe:
            return
        frame = unpack(packed)
        host = self.host
        if isinstance(frame, Welcome):
            self.up = True
            host.world.note(host.name, f"link up, epoch {epoch}")
            up = inputs.LinkUp(epoch=epoch, address=self.address, opened_at=WALL + opened_at + host.wall_skew)
            host.feed(self.process, up)
            host.learn_queues()
            self._tell_status(pipe)
            self._supervise(pipe)
        elif isinstance(frame, Told):
            self._told(frame, packed.body)
        elif isinstance(frame, Offered):
            self._offered(frame, packed.body)
        elif isinstance(frame, Answer):
            token = self._tokens.pop(frame.number, None)
            if token is not None:
                taken = inputs.Confirmed(token=token)
                refused = inputs.Refused(token=token, returned=frame.outcome == "returned")
                host.feed(self.process, taken if frame.outcome == "taken" else refused)

    def _tell_status(self, pipe: Connection) -> None:
        if self._pipe is pipe and not self.closed and self.host.machine is not None:
            self._say("fleet", topology.STATUS_KEY, self.host.world.write(self.host.status()))
            self._clock.call_later(STATUS_INTERVAL, self.host.when_thawed, self._tell_status, pipe)

    def _supervise(self, pipe: Connection) -> None:
        if self._pipe is pipe and not self.closed:
            if self._wanted and self._asked != self._seen:
                self._ask()
            self._send(Beat())
            self._clock.call_later(1.0, self.host.when_thawed, self._supervise, pipe)

    def _lost(self, pipe: Connection, reason: str) -> None:
        if self.closed or pipe is not self._pipe:
            return
        self._pipe = None
        was_up, self.up = self.up, False
        self._held.clear()
        self._tokens.clear()
        self.host.world.note(self.host.name, f"link down: {reason}")
        if was_up:
            self.host.feed(self.process, inputs.LinkDown())
        self._connect_later()

    def _told(self, frame: Told, body: bytes) -> None:
        wire = Wire(type=frame.message.type, content_type=frame.message.content_type, body=body,
                    headers=frame.message.headers)  # fmt: skip
        heard = read(wire)
        try:
            user = Envelope.of(
                exchange=frame.exchange, routing_key=frame.key, user_id=frame.user, headers=wire.headers
            ).to_agent(self.address)
        except NotBelieved as error:
            user, heard = "", BadMessage(str(error))
        if isinstance(heard, BadMessage):
            self.send_to_dead(wire)
        else:
            self.host.hear(self.process, heard, user, False)

    # ---- offers

    def consume(self, queues: tuple[str, ...]) -> None:
        if self.up:
            self._wanted = queues
            self._ask()

    def _ask(self) -> None:
        self._asked = self._seen
        self._send(ConsumeFrom(queues=self._wanted, seen=self._seen))

    def _offered(self, frame: Offered, body: bytes) -> None:
        self._seen = frame.delivery
        deliveries = self.host.world.office_deliveries
        wire = Wire(type=frame.message.type, content_type=frame.message.content_type, body=body,
                    headers=frame.message.headers)  # fmt: skip
        deliveries[body] += 1
        if deliveries[body] > DELIVERIES_MAX:
            raise Violation("no message is delivered more than 25 times", f"{body!r:.80}")
        self._handles += 1
        self._held[self._handles] = (frame.delivery, wire)
        offer = read(wire)
        if not isinstance(offer, Offer):
            self.settle(actions.SendToDead(delivery=self._handles, reason="no offer"))
            return
        self.host.world.note(
            self.host.name,
            lambda: (
                f"gets offer {offer.offer} of {offer.request}"
                + (" redelivered" if frame.redelivered else "")
                + (f" deaths={frame.parkings}" if frame.parkings else "")
            ),
        )
        self.host.feed(
            self.process,
            inputs.OfferDelivered(
                delivery=self._handles,
                queue=frame.queue,
                offer=offer,
                redelivered=frame.redelivered,
                deaths=frame.parkings,
                repeated=topology.key_word(frame.user) != offer.user,
            ),
        )

    def settle(self, action: actions.Ack | actions.Park | actions.GiveBack | actions.SendToDead) -> None:
        number, _wire = self._held.pop(action.delivery, (0, None))
        if number:
            self._send(Settle.model_validate({"delivery": number, "how": _HOW[type(action)]}))
            if self._wanted:
                self._ask()

    # ---- publishing

    def send_to_dead(self, body: Wire, answer: Callable[..., object] = lambda _: None) -> None:
        """To `dead`, as it came."""
        if self.up:
            self._say("dead", self.address, body)

    def publish(self, action: actions.Publish) -> None:
        if self.up:
            wire = self.host.world.write_of_session(action.message)
            self._say(action.to, action.master, wire, action.token, expires=action.expires)

    def _say(self, to: str, key: str, wire: Wire, token: int | None = None, *, expires: float | None = None) -> None:
        self._numbers += 1
        if token is not None:
            self._tokens[self._numbers] = token
        carried = Carried(type=wire.type, content_type=wire.content_type, headers=dict(wire.headers))
        fields = {"number": self._numbers, "to": to, "key": key, "expires": expires, "message": carried}
        self._send(Say.model_validate(fields), wire.body)
