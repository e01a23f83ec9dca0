"""A master at two places while its fleet moves: the real `BothLinks` over a broker's link and the post office's.

What each of the two tells its host goes to `BothLinks`, and what that wants is told them as actions. Seals are opened
and made beyond it, as in a master.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet import defer

from contracts.errors import BadSeal, NotBelieved
from contracts.foreign import ForeignPeers
from contracts.messages import AnyMessage, FleetMessage, Message, Offer, Sealed
from contracts.testing.memory_broker.connections import Connection
from master_bridge.core import actions, inputs
from master_bridge.link.both import BothLinks
from master_bridge.link.client import LinkClient
from tests.simulation.hosts.bridge_link import BridgeLink
from tests.simulation.hosts.office import OfficeBridgeLink

if TYPE_CHECKING:
    from tests.simulation.hosts.master_host import MasterHost


class _Facade:
    """A link's host, of which it tells `client` instead. Its seals do nothing: they are made beyond `BothLinks`."""

    def __init__(self, host: MasterHost, client: LinkClient) -> None:
        self._host = host
        self._client = client
        self.seals = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    def incoming(self, message: AnyMessage, _user: str) -> AnyMessage:
        return message

    def outgoing(self, message: Message, _address: str, _terms: object) -> Message:
        return message

    def heard(self, _message: object) -> None:
        """Only what the machine is told counts."""

    def feed(self, process: int, news: inputs.Input) -> None:
        if process != self._host.process:
            return
        if isinstance(news, inputs.LinkUp):
            self._client.link_up()
        elif isinstance(news, inputs.LinkDown):
            self._client.link_down("lost")
        elif isinstance(news, inputs.LinkBlocked):
            self._client.link_blocked(news.blocked)
        elif isinstance(news, inputs.MessageReceived):
            self._client.message_received(news.delivery, news.message, news.user, news.size)
        elif isinstance(news, inputs.Returned):
            self._client.message_returned(news.message, news.routing_key)
        elif isinstance(news, inputs.AgentDied):
            self._client.agent_died(news.address)
        elif not isinstance(news, inputs.Declared):
            self._host.feed(process, news)


class _Place:
    """`BridgeLink` of one place, which carries out the machine's actions."""

    product = "a place"
    unconfirmed = 0
    down_reason = None
    foreign = ForeignPeers()

    def __init__(self, link: BridgeLink | OfficeBridgeLink, user: str) -> None:
        self.carrier = link
        self.user = user

    @property
    def up(self) -> bool:
        return self.carrier.up

    def start(self) -> None:
        self.carrier.connect()

    def stop(self, timeout: float = 2.0) -> Any:
        return defer.succeed(None)

    def publish_offer(self, offer: Offer, priority: int = 0) -> None:
        self.carrier.carry_out(actions.PublishOffer(offer=offer, priority=priority))

    def send(self, message: Message, address: str) -> None:
        self.carrier.carry_out(actions.Send(message=message, address=address))

    def broadcast(self, message: Any) -> None:
        self.carrier.carry_out(actions.Broadcast(message=message))

    def send_marker(self, message: Any) -> None:
        self.carrier.carry_out(actions.SendMarker(message=message))

    def sweep(self, signature: str, stale: Callable[[Offer], bool]) -> Any:
        self.carrier.carry_out(actions.SweepOffers(signature=signature))
        return defer.succeed(0)

    def dead_offer(self, offer: Offer, reason: str, priority: int = 0) -> None:
        self.carrier.carry_out(actions.DeadOffer(offer=offer, reason=reason, priority=priority))

    def ack(self, delivery: int) -> None:
        self.carrier.ack(delivery)

    def dead_letter(self, delivery: int, reason: str) -> None:
        self.carrier.carry_out(actions.DeadLetter(delivery=delivery, reason=reason, user=""))

    def version_at(self, address: str) -> int:
        return 1

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


class BothPlaces:
    """The link of a master that serves both. The new place is the post office, or the broker, by the seed."""

    def __init__(self, host: MasterHost, process: int) -> None:
        self.host = host
        self.process = process
        self.carriers: list[BridgeLink | OfficeBridgeLink] = []
        made = [self._make(BridgeLink), self._make(OfficeBridgeLink)]
        new, old = made if host.world.plan.seed % 2 else reversed(made)
        self.both = BothLinks(self, new, old)

    def _make(self, kind: type[BridgeLink] | type[OfficeBridgeLink]) -> Callable[[LinkClient], Any]:
        def make(client: LinkClient) -> Any:
            facade: Any = _Facade(self.host, client)
            self.carriers.append(kind(facade, self.process))
            return _Place(self.carriers[-1], self.host.user)

        return make

    # ---- of the host

    @property
    def up(self) -> bool:
        return self.both.up

    @property
    def connections(self) -> list[Connection]:
        return [each for carrier in self.carriers for each in carrier.connections]

    def connect(self) -> None:
        self.both.start()

    def close(self, *, power_off: bool = False) -> None:
        for carrier in self.carriers:
            carrier.close(power_off=power_off)

    def carry_out(self, action: actions.Action) -> None:
        host, both = self.host, self.both
        if isinstance(action, actions.Ack):
            both.ack(action.delivery)
        elif isinstance(action, actions.PublishOffer):
            both.publish_offer(action.offer, action.priority)
        elif isinstance(action, actions.Send):
            try:
                message = host.seals.outgoing(action.message, action.address, action.terms)
            except BadSeal as error:
                host.world.note(host.name, f"cannot seal: {error}")
            else:
                both.send(message, action.address)
        elif isinstance(action, actions.Broadcast):
            both.broadcast(action.message)
        elif isinstance(action, actions.SendMarker):
            both.send_marker(action.message)
        elif isinstance(action, actions.SweepOffers):
            assert host.machine is not None
            both.sweep(action.signature, host.machine.is_stale)
        elif isinstance(action, actions.DeadOffer):
            both.dead_offer(action.offer, action.reason, action.priority)
        elif isinstance(action, actions.DeadLetter):
            both.dead_letter(action.delivery, action.reason)

    # ---- a `LinkClient`, as the bridge's edge is

    def link_up(self) -> None:
        self.host.world.note(self.host.name, "both places up")
        self.host.feed(self.process, inputs.LinkUp())
        self.host.feed(self.process, inputs.Declared(signatures=frozenset(self.host.signatures)))

    def link_down(self, reason: str) -> None:
        self.host.world.note(self.host.name, f"not at both places: {reason}")
        self.host.feed(self.process, inputs.LinkDown())

    def link_blocked(self, blocked: bool) -> None:
        self.host.feed(self.process, inputs.LinkBlocked(blocked=blocked))

    def link_stopped(self, reason: str) -> None:
        self.host.stop_as_duplicate()

    def message_received(self, delivery: int, message: AnyMessage, user: str, size: int) -> None:
        try:
            opened = self.host.seals.incoming(message, user)
        except (BadSeal, NotBelieved) as error:
            self.host.world.note(self.host.name, f"ALARM {error}")
            if isinstance(message, Sealed):
                self.both.dead_letter(delivery, str(error))
            opened = None
        if opened is None:
            self.both.ack(delivery)
            return
        self.host.heard(opened)
        self.host.feed(self.process, inputs.MessageReceived(delivery=delivery, message=opened, user=user))

    def message_returned(self, message: AnyMessage, routing_key: str) -> None:
        returned: Any = message
        self.host.feed(self.process, inputs.Returned(message=returned, routing_key=routing_key))

    def agent_died(self, address: str) -> None:
        self.host.feed(self.process, inputs.AgentDied(address=address))

    def fleet_heard(self, message: FleetMessage) -> None:
        """The links tell it as `AgentHeard`."""

    def message_sent_to_dead(self, reason: str, user: str) -> bool:
        return True
