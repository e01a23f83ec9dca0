"""The agent's AMQP edge against the broker model: one connection, a control queue of its own, offer consumers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from contracts.codec import Wire
from contracts.errors import BadMessage, NotBelieved
from contracts.messages import Message, Offer
from contracts.testing.memory_broker.channels import Channel, Delivery
from contracts.testing.memory_broker.connections import Connection
from contracts.testing.memory_broker.queues import QueueOptions
from contracts.timing import STATUS_INTERVAL
from contracts.topology import (
    BROADCAST,
    CONTROL,
    DEAD,
    FLEET,
    REPLIES,
    STATUS_KEY,
    claims_key,
    control_address,
    events_key,
)
from tests.simulation.hosts.link import Link
from tests.simulation.hosts.outlet import Answer, Outlet
from tests.simulation.ledger import DELIVERIES_MAX, Violation
from tests.simulation.world import WALL, envelope, publication, read
from worker_agent.core import actions, inputs

if TYPE_CHECKING:
    from tests.simulation.hosts.agent_host import AgentHost

#: what the broker refuses is published once more, on another channel
TRIES = 2
_CONTROL_OPTIONS = QueueOptions(durable=False, exclusive=True)


class AgentLink(Link):
    host: AgentHost
    purposes = ("link",)

    def __init__(self, host: AgentHost, process: int) -> None:
        super().__init__(host, process)
        self._offers: Channel | None = None
        self._outlet: Outlet | None = None
        #: of the latest connection
        self.address = ""
        self._wanted: tuple[str, ...] = ()
        #: what will be wanted when all orders are carried out
        self._asked: tuple[str, ...] = ()
        #: the consumer that the broker was asked for last, until it answers
        self._starting: str | None = None
        #: consumer tag -> queue
        self._consumers: dict[str, str] = {}
        #: the same of those that brought what is held, and do not count
        self._filled: dict[str, str] = {}
        self._tags = 0
        self._handles = 0
        #: delivery handle -> (channel, delivery tag, consumer tag, body)
        self._held: dict[int, tuple[Channel, int, str, Any]] = {}

    # ---- connecting

    def connect(self) -> None:
        """Try; a stopped process tries when it runs again."""
        self.host.when_thawed(self._connect)

    def _connect(self) -> None:
        connections = self._open()
        if connections is None:
            return
        host = self.host
        connection, _ = connections
        connection.on_close = lambda reason: host.when_thawed(self._lost, connection, reason)
        opened_at = self._clock.now
        epoch = host.disk.next_epoch()
        self.address = address = control_address(host.user, host.instance, f"{host.name}-{epoch:x}")
        control = connection.channel()
        control.declare(address, _CONTROL_OPTIONS)
        control.bind(address, CONTROL, address)
        control.bind(address, CONTROL, BROADCAST)

        def message(delivery: Delivery) -> None:
            control.ack(delivery.tag)
            body = delivery.publication.body
            heard = read(body)
            try:
                user = envelope(delivery.publication).to_agent(address)
            except NotBelieved as error:
                user, heard = "", BadMessage(str(error))
            if isinstance(heard, BadMessage):
                host.when_thawed(self.send_to_dead, body)
            else:
                host.hear(self.process, heard, user, any(body is one for one in host.world.strange))

        def ready() -> None:
            self.up = True
            host.world.note(host.name, f"link up, epoch {epoch}")
            up = inputs.LinkUp(epoch=epoch, address=address, opened_at=WALL + opened_at + host.wall_skew)
            host.feed(self.process, up)
            host.learn_queues()
            self._tell_status(connection)

        def deaf(_: str) -> None:
            host.when_thawed(self._lost, connection, "control queue is not consumed any more")

        control.on_close = deaf
        control.consume(address, "control", message, on_ok=ready, on_cancel=deaf)
        self._open_offers()
        self._outlet = Outlet(
            connection,
            later=lambda delay, *call: self._clock.call_later(delay, host.when_thawed, *call),
            lost=lambda reason: self._lost(connection, reason),
            mutant=host.world.mutant,
        )

    def _tell_status(self, connection: Connection) -> None:
        if self._consuming is connection and self._outlet is not None and not self.closed:
            status = self.host.world.write(self.host.status())
            self._outlet.publish(publication(FLEET, STATUS_KEY, status, persistent=False, user=self.host.user))
            self._clock.call_later(STATUS_INTERVAL, self.host.when_thawed, self._tell_status, connection)

    def _lost(self, connection: Connection, reason: str) -> None:
        if self.closed or self._consuming is not connection:
            return  # its end was seen already
        self._open_ones = []
        connection.close()
        was_up, self.up = self.up, False
        self._held.clear()
        self._consumers.clear()
        self._filled.clear()
        self._wanted = self._asked = ()
        self.host.world.note(self.host.name, f"link down: {reason}")
        if was_up:
            self.host.feed(self.process, inputs.LinkDown())
        self._connect_later()

    # ---- offers

    def _open_offers(self) -> None:
        assert self._consuming is not None
        self._offers = self._consuming.channel()
        if self.host.planned.shares:
            self._offers.share_prefetch(1)
        self._starting = None
        self._offers.on_close = self._offers_closed

    def _offers_closed(self, error: str) -> None:
        """A channel exception, by a consumer timeout: what was held is void, the rest is set up again."""
        self.host.world.note(self.host.name, f"offers channel closed: {error}")
        lost, self._held = list(self._held), {}
        self._consumers.clear()
        self._filled.clear()
        self._open_offers()
        for handle in lost:
            self.host.feed(self.process, inputs.DeliveryLost(delivery=handle))
        self._order(self._consume, self._asked)

    def _cancelled(self, tag: str) -> None:
        """The broker cancelled a consumer (consumer timeout from 4.3 on)."""
        self._consumers.pop(tag, None)
        self._filled.pop(tag, None)
        lost = [handle for handle, held in self._held.items() if held[2] == tag]
        for handle in lost:
            del self._held[handle]
        for handle in lost:
            self.host.feed(self.process, inputs.DeliveryLost(delivery=handle))
        self._consume_next()

    def _order(self, call: Callable[..., object], *args: object) -> None:
        """Later, in order, as the agent's edge does: by then it knows what is wanted afterwards."""
        if self.up and self._offers is not None:  # else the next link-up brings its own
            self._clock.call_later(0.0, self.host.when_thawed, self._carry_out, self._consuming, call, args)

    def _carry_out(self, consuming: Connection, call: Callable[..., object], args: tuple[object, ...]) -> None:
        if self._consuming is consuming and not self.closed:
            call(*args)

    def consume(self, queues: tuple[str, ...]) -> None:
        if self.up and self._offers is not None:
            self._asked = queues
            self._order(self._consume, queues)

    def _consume(self, queues: tuple[str, ...]) -> None:
        self._wanted = queues
        if queues:
            self._cancel(*self._filled)
            self._cancel_all_but(queues)
        elif self._held:  # consumers outlive a claim
            for _, _, tag, _ in self._held.values():
                if tag in self._consumers:
                    self._filled[tag] = self._consumers.pop(tag)
        else:
            self._cancel_all_but(())
        self._consume_next()

    @property
    def _quiet(self) -> bool:
        """The broker hands nothing out before what is held is settled."""
        return self.host.planned.shares and bool(self._held)

    def _cancel(self, *tags: str) -> None:
        assert self._offers is not None
        for tag in tags:
            self._offers.cancel(tag)
            self._consumers.pop(tag, None)
            self._filled.pop(tag, None)

    def _cancel_all_but(self, queues: tuple[str, ...]) -> None:
        self._cancel(*(tag for tag, queue in self._consumers.items() if queue not in queues))

    def _consume_next(self) -> None:
        """One after the other: the next when the broker has answered."""
        queue = next((queue for queue in self._wanted if queue not in self._consumers.values()), None)
        if queue is None or self._starting is not None or self._quiet:
            return
        assert self._offers is not None
        self._tags += 1
        tag = f"{queue}#{self._tags}"
        self._consumers[tag] = queue
        self._starting = tag
        self._offers.consume(
            queue, tag, self._offered, prefetch=1, on_ok=lambda: self._consumed(tag), on_cancel=self._cancelled
        )

    def _consumed(self, tag: str) -> None:
        if self._starting == tag:
            self._starting = None
            self._consume_next()

    def _offered(self, delivery: Delivery) -> None:
        assert self._offers is not None
        deliveries = self.host.world.broker.deliveries[delivery.publication.identity]
        if deliveries > DELIVERIES_MAX:
            detail = f"{read(delivery.publication.body)!r}: {deliveries} times"
            raise Violation("no message is delivered more than 25 times", detail)
        if delivery.queue not in self._asked:
            self._cancel(delivery.consumer)
            self._offers.nack(delivery.tag, requeue=True)
            return
        self._handles += 1
        handle = self._handles
        offer = read(delivery.publication.body)
        self._held[handle] = (self._offers, delivery.tag, delivery.consumer, delivery.publication.body)
        if not isinstance(offer, Offer):
            self.host.world.note(self.host.name, f"gets what is no offer: {offer!r:.60}")
            self.host.when_thawed(self.settle, actions.SendToDead(delivery=handle, reason="no offer"))
            return
        self.host.world.note(
            self.host.name,
            lambda: (
                f"gets offer {offer.offer} of {offer.request}"
                + (" redelivered" if delivery.redelivered else "")
                + (f" deaths={delivery.deaths}" if delivery.deaths else "")
            ),
        )
        self.host.feed(
            self.process,
            inputs.OfferDelivered(
                delivery=handle,
                queue=delivery.queue,
                offer=offer,
                redelivered=delivery.redelivered,
                deaths=delivery.deaths,
                repeated=envelope(delivery.publication).user != offer.user,
            ),
        )

    def settle(self, action: actions.Ack | actions.Park | actions.GiveBack | actions.SendToDead) -> None:
        self._order(self._make_ready_and_settle, action)

    def _make_ready_and_settle(
        self, action: actions.Ack | actions.Park | actions.GiveBack | actions.SendToDead
    ) -> None:
        """Before, cancel what is to bring nothing then: what is not wanted, and that of an offer that is given back."""
        if action.delivery not in self._held:
            return
        own = self._held[action.delivery][2]
        if self._asked or len(self._held) == 1:
            self._cancel_all_but(self._asked)
        queue = self._filled.get(own)
        if queue is not None and self.host.planned.shares and self.host.world.between(0.0, 1.0) < 0.5:
            self._cancel(own, *self._consumers)  # as in a backlog
        elif isinstance(action, actions.GiveBack):
            self._cancel(own)
        elif queue is not None and {*self._asked}.difference(self._consumers.values()) == {queue}:
            self._consumers[own] = self._filled.pop(own)
        elif queue is not None:
            self._cancel(own)
        self._settle(action)
        self._consume_next()

    def _settle(self, action: actions.Ack | actions.Park | actions.GiveBack | actions.SendToDead) -> None:
        channel, tag, _, body = self._held.pop(action.delivery, (None, 0, "", cast(Any, None)))
        if channel is None or not channel.open:
            return
        if isinstance(action, actions.SendToDead):
            # while it cannot be put there, park it
            self.send_to_dead(
                body, lambda answer: channel.ack(tag) if answer == "taken" else channel.nack(tag, requeue=False)
            )
        elif isinstance(action, actions.Ack):
            channel.ack(tag)
        else:
            channel.nack(tag, requeue=isinstance(action, actions.GiveBack))

    # ---- publishing

    def send_to_dead(self, body: Wire, answer: Callable[[Answer], object] = lambda _: None) -> None:
        """To `dead`, as it came."""
        if self.up and self._outlet is not None:
            sent = publication(DEAD, "", body, user=self.host.user)
            self._outlet.publish(sent, mandatory=True, tries=TRIES, answer=answer)

    def publish(self, action: actions.Publish) -> None:
        if not self.up or self._outlet is None:
            return
        host = self.host
        key = (claims_key if action.to == "claims" else events_key)(host.user, action.master)
        message: Message = action.message
        persistent = action.to == "claims"  # a killed broker loses what goes to `events`
        sent = publication(
            REPLIES,
            key,
            host.world.write_of_session(message),
            expires=action.expires,
            persistent=persistent,
            user=host.user,
        )
        host.world.recorded.append(sent)
        self._outlet.publish(sent, mandatory=True, tries=TRIES, answer=partial(self._answered, action.token))

    def _answered(self, token: int | None, answer: Answer) -> None:
        if token is not None:
            taken = inputs.Confirmed(token=token)
            news = taken if answer == "taken" else inputs.Refused(token=token, returned=answer == "returned")
            self.host.feed(self.process, news)
