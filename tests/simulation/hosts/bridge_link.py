"""The bridge's AMQP edge against the broker model: declares, consumes claims exclusively, publishes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from contracts.codec import Wire
from contracts.errors import BadMessage, BadSeal, NotBelieved
from contracts.messages import AnyMessage, Message, Offer, Sealed, Status
from contracts.testing.memory_broker.channels import Channel, Delivery
from contracts.testing.memory_broker.connections import Connection
from contracts.testing.memory_broker.queues import Publication, QueueOptions
from contracts.timing import DUPLICATE_MASTER_AFTER
from contracts.topology import (
    BROADCAST,
    CONTROL,
    DEAD,
    FLEET,
    OFFERS,
    REPLIES,
    STATUS_KEY,
    cap_queue,
    claims_binding,
    claims_key,
    claims_queue,
    events_binding,
    events_queue,
)
from master_bridge.core import actions, inputs
from tests.simulation.hosts.link import Link
from tests.simulation.hosts.outlet import ALWAYS, Answer, Outlet
from tests.simulation.world import CAP, CLAIMS, declare_common, envelope, publication, read

if TYPE_CHECKING:
    from tests.simulation.hosts.master_host import MasterHost

#: events that the bridge takes unacknowledged
EVENTS_PREFETCH = 300


class BridgeLink(Link):
    host: MasterHost
    purposes = ("consumes", "publishes")

    def __init__(self, host: MasterHost, process: int) -> None:
        super().__init__(host, process)
        self._outlet: Outlet | None = None
        self._handles = 0
        #: rule 4: since when another consumes our claims queue
        self._refused_since: float | None = None
        self._held: dict[int, tuple[Channel, Delivery]] = {}

    def connect(self) -> None:
        connections = self._open()
        if connections is None:
            return
        host = self.host
        consuming, publishing = connections
        consuming.on_close = publishing.on_close = self._lost
        publishing.on_blocked = self._blocked
        events = host.world.events_options
        declares = publishing.channel()
        declare_common(declares)
        for name, options, binding in (
            (claims_queue(host.name), CLAIMS, claims_binding(host.name)),
            (events_queue(host.name), events, events_binding(host.name)),
        ):
            declares.declare(name, options)
            declares.bind(name, REPLIES, binding)
        for signature in host.signatures:
            declares.declare(cap_queue(signature), CAP)
            declares.bind(cap_queue(signature), OFFERS, cap_queue(signature))
        declares.declare(events_queue(host.name), events, lambda: self._declared(consuming))
        self._outlet = Outlet(publishing, later=self._clock.call_later, lost=self._lost, mutant=host.world.mutant)

    def _declared(self, consuming: Connection) -> None:
        self.host.world.queues_changed()
        self._consume_claims(consuming)

    def _consume_claims(self, consuming: Connection) -> None:
        """Exclusive (rule 4): the ghost of our former connection may still be there; try until it is not."""
        channel = consuming.channel()
        broken: list[object] = []

        def refused(error: str) -> None:
            if broken:  # cancelled, then closed for an acknowledgement that came too late: once is enough
                return
            broken.append(error)
            # a consumer timeout ends here, too: then just consume again (rule 11)
            self.host.world.note(self.host.label, f"claims channel closed: {error}")
            self._forget(channel)
            if "exclusive use" not in error:
                self._refused_since = None
            elif self._refused_since is None:
                self._refused_since = self._clock.now
            elif self._clock.now > self._refused_since + DUPLICATE_MASTER_AFTER:
                self.host.stop_as_duplicate()
                return
            self._clock.call_later(self.host.world.between(0.3, 0.7), again)

        def again() -> None:
            if consuming.client_open:
                self._consume_claims(consuming)

        def consumed() -> None:
            self._refused_since = None
            if not self.up:
                self.up = True
                self.host.world.note(self.host.name, "link up")
                self.host.feed(self.process, inputs.LinkUp())
                self.host.feed(self.process, inputs.Declared(signatures=frozenset(self.host.signatures)))
                self._consume_fleet(consuming)
                self._consume_events(consuming)  # not before: what comes before LinkUp is nobody's

        def cancelled(_: str) -> None:
            refused("consumer cancelled by the broker")

        channel.on_close = refused
        channel.consume(
            claims_queue(self.host.name),
            "claims",
            lambda delivery: self._received(channel, delivery),
            exclusive=not self.host.world.mutant.shares_claims,
            on_ok=consumed,
            on_cancel=cancelled,
        )

    def _consume_events(self, consuming: Connection) -> None:
        channel = consuming.channel()
        broken: list[object] = []

        def again(error: str) -> None:
            if broken:
                return
            broken.append(error)
            self._forget(channel)
            if consuming.client_open:
                self._consume_events(consuming)

        channel.on_close = again
        channel.consume(
            events_queue(self.host.name),
            "events",
            lambda delivery: self._received(channel, delivery),
            prefetch=EVENTS_PREFETCH,
            on_cancel=again,
        )

    def _consume_fleet(self, consuming: Connection) -> None:
        """As long as the connection lives; a channel that the broker closes tells no more, which costs time only."""
        channel = consuming.channel()
        queue = f"fleet.{self.host.label}.{self.process}.{len(consuming.channels)}"
        channel.declare(queue, QueueOptions(durable=False, exclusive=True))
        channel.bind(queue, FLEET, STATUS_KEY)

        def heard(delivery: Delivery) -> None:
            channel.ack(delivery.tag)
            status = read(delivery.publication.body)
            if isinstance(status, Status):
                user = envelope(delivery.publication).user
                news = inputs.AgentHeard(instance=status.instance, user=user, every=status.every)
                self.host.feed(self.process, news)
            else:
                self._publish(DEAD, "", delivery.publication.body)

        channel.consume(queue, "fleet", heard)

    def _forget(self, channel: Channel) -> None:
        for handle in [handle for handle, held in self._held.items() if held[0] is channel]:
            del self._held[handle]

    def _received(self, channel: Channel, delivery: Delivery) -> None:
        self._handles += 1
        handle = self._handles
        self._held[handle] = (channel, delivery)
        message = read(delivery.publication.body)
        if isinstance(message, BadMessage):
            self._publish(DEAD, "", delivery.publication.body)
            self.ack(handle)
            return
        try:
            user = envelope(delivery.publication).of_reply()
        except NotBelieved:
            self._publish(DEAD, "", delivery.publication.body)
            self.ack(handle)
            return
        opened = self._opened(message, user, delivery, handle)
        if opened is not None:
            self.host.heard(opened)
            self.host.feed(self.process, inputs.MessageReceived(delivery=handle, message=opened, user=user))

    def _answered(self, sent: Publication, answer: Answer) -> None:
        if answer == "returned":
            self._came_back(sent)

    def _came_back(self, returned: Publication) -> None:
        message = read(returned.body)
        self.host.world.note(self.host.name, lambda: f"returned: {message.t} for {returned.routing_key}")
        self.host.feed(self.process, inputs.Returned(message=message, routing_key=returned.routing_key))

    def _blocked(self, blocked: bool) -> None:
        if self.up:
            self.host.feed(self.process, inputs.LinkBlocked(blocked=blocked))

    def _lost(self, reason: str) -> None:
        was_up, self.up = self.up, False
        for connection in self.connections:
            connection.close()
        self._held.clear()
        self.host.world.note(self.host.name, f"link down: {reason}")
        if was_up:
            self.host.feed(self.process, inputs.LinkDown())
        self._connect_later()

    def ack(self, handle: int) -> None:
        channel, delivery = self._held.pop(handle, (None, None))
        if channel is not None and delivery is not None and channel.open:
            channel.ack(delivery.tag)

    def carry_out(self, action: actions.Action) -> None:
        """The actions that publish or acknowledge."""
        if isinstance(action, actions.Ack):
            self.ack(action.delivery)
        elif isinstance(action, actions.PublishOffer):
            self._publish(
                OFFERS,
                cap_queue(action.offer.signature),
                self.host.world.write_of_session(action.offer),
                mandatory=True,
                priority=action.priority,
            )
        elif isinstance(action, actions.Send):
            self._send(action)
        elif isinstance(action, actions.Broadcast):
            self._publish(CONTROL, BROADCAST, action.message, persistent=False)
        elif isinstance(action, actions.SendMarker):
            self._publish(REPLIES, claims_key(self.host.user, self.host.name), action.message, persistent=False)
        elif isinstance(action, actions.SweepOffers):
            self._sweep(cap_queue(action.signature))
        elif isinstance(action, actions.DeadOffer):
            self._publish(DEAD, "", action.offer)
        elif isinstance(action, actions.DeadLetter):
            held = self._held.get(action.delivery)
            if held is not None:
                self._publish(DEAD, "", held[1].publication.body)

    def _send(self, action: actions.Send) -> None:
        try:
            message = self.host.seals.outgoing(action.message, action.address, action.terms)
        except BadSeal as error:
            self.host.world.note(self.host.name, f"cannot seal: {error}")
        else:
            wire = self.host.world.write_of_session(message)
            self._publish(CONTROL, action.address, wire, mandatory=True, persistent=False)

    def tell(self, address: str, message: Message) -> None:
        """To the agent at this address; what comes back is said again."""
        self._publish(CONTROL, address, self.host.world.write_of_session(message), mandatory=True, persistent=False)

    def _opened(self, message: AnyMessage, user: str, delivery: Delivery, handle: int) -> AnyMessage | None:
        """None: it is answered."""
        try:
            opened = self.host.seals.incoming(message, user)
        except (BadSeal, NotBelieved) as error:
            self.host.world.note(self.host.name, f"ALARM {error}")
            if isinstance(message, Sealed):
                self._publish(DEAD, "", delivery.publication.body)
            opened = None
        if opened is None:
            self.ack(handle)
        return opened

    def _sweep(self, queue: str) -> None:
        """As master_bridge.link.amqp.queues.sweep: get all that is ready, keep what is not stale, give it back then."""
        if self._consuming is None:
            return
        channel = self._consuming.channel()

        def got(delivery: Delivery | None) -> None:
            machine = self.host.machine
            if delivery is None or machine is None:
                channel.close()
                return
            offer = read(delivery.publication.body)
            if isinstance(offer, Offer) and machine.is_stale(offer):
                self.host.world.note(self.host.name, f"sweeps offer {offer.offer} of {offer.request} out of {queue}")
                channel.ack(delivery.tag)
            channel.get(queue, got)

        channel.get(queue, got)

    def _publish(
        self,
        exchange: str,
        key: str,
        message: Message | Wire,
        *,
        mandatory: bool = False,
        priority: int = 0,
        persistent: bool = True,
    ) -> None:
        if self.up and self._outlet is not None:
            wire = message if isinstance(message, Wire) else self.host.world.write(message)
            sent = publication(exchange, key, wire, priority=priority, persistent=persistent, user=self.host.user)
            self.host.world.recorded.append(sent)
            tries = ALWAYS if persistent else 1  # what is not will be said again anyway
            self._outlet.publish(sent, mandatory=mandatory, tries=tries, answer=partial(self._answered, sent))
