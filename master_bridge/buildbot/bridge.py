"""The edge of the bridge's machine: carries inputs in, actions out in the order given, and ticks it at its deadline."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar, Union
from uuid import uuid4

import structlog
from twisted.internet import defer

from contracts.agent_names import named
from contracts.errors import BadSeal, ContractError, NotBelieved
from contracts.machines.exhaustive import assert_never
from contracts.messages import AnyMessage, Data, FleetMessage, Message, Sealed, Status
from contracts.trust.tickets import Tickets
from master_bridge.buildbot.client import Client
from master_bridge.buildbot.fleet.figures import Figures
from master_bridge.buildbot.traces.builds import BuildTraces
from master_bridge.core import actions, inputs
from master_bridge.core.actions import Action
from master_bridge.core.inputs import Input
from master_bridge.core.machine import BridgeConfig, BridgeMachine
from master_bridge.link.port import BridgeLink
from master_bridge.link.seals import Seals

log = structlog.get_logger(__name__)

Sent = TypeVar("Sent", bound=Message)

#: A machine whose deadline has passed is ticked at the reactor's next turn, never in a loop.
SOON = 0.001

#: What the link carries out, while there is one …
_FOR_THE_LINK = (
    actions.PublishOffer, actions.DeadOffer, actions.Send, actions.Broadcast, actions.SendMarker, actions.SweepOffers,
    actions.Ack, actions.DeadLetter,
)  # fmt: skip
ForTheLink = Union[
    actions.PublishOffer, actions.DeadOffer, actions.Send, actions.Broadcast, actions.SendMarker, actions.SweepOffers,
    actions.Ack, actions.DeadLetter,
]  # fmt: skip
#: … and what whoever has asked for an agent is told, while he wants one.
_FOR_A_CLIENT = (
    actions.Deliver, actions.StateChanged, actions.Attach, actions.ServeData, actions.Lost, actions.Abandoned,
    actions.CancelledEarlier,
)  # fmt: skip
ForAClient = Union[
    actions.Deliver, actions.StateChanged, actions.Attach, actions.ServeData, actions.Lost, actions.Abandoned,
    actions.CancelledEarlier,
]  # fmt: skip


class Bridge:
    """One incarnation of the bridge. A `LinkClient`: the link reports to it.

    user            `key_word` of the broker user that logs in
    check(request)  is the build request complete? (a Deferred of bool, from Buildbot's database)
    on_link(up)     the link went up or down
    on_fleet(m)     an agent's status, a master's catalogue, or what its requests do
    on_stopped(r)   the link will not be tried again, and why
    on_returned(m, a)  nobody was at address `a` for message `m`
    """

    def __init__(
        self,
        *,
        reactor: Any,
        master: str,
        user: str,
        tickets: Tickets,
        grace: float,
        check: Callable[[str], defer.Deferred[bool]],
        on_link: Callable[[bool], None],
        on_fleet: Callable[[FleetMessage], None],
        on_stopped: Callable[[str], None],
        on_returned: Callable[[AnyMessage, str], None] = lambda _message, _address: None,
    ) -> None:
        self._reactor = reactor
        self._check = check
        self._on_link = on_link
        self._on_fleet = on_fleet
        self._on_stopped = on_stopped
        self._on_returned = on_returned
        self.incarnation = uuid4().hex
        offset = time.time() - time.monotonic()
        #: the machine's seconds as seconds since the epoch
        self.wall: Callable[[float], float] = lambda now: now + offset
        self.machine = BridgeMachine(
            config=BridgeConfig(
                master=master, user=user, tickets=tickets, incarnation=self.incarnation, grace=grace, wall=self.wall
            ),
            new_id=lambda: uuid4().hex,
            now=time.monotonic(),
        )
        self._seals = Seals(master=master, incarnation=self.incarnation)
        self.link: BridgeLink | None = None
        self.figures = Figures()
        #: None: nobody wants traces
        self.traces: BuildTraces | None = None
        #: who asked for which request
        self.clients: dict[str, Client] = {}
        self._inputs: deque[Input] = deque()
        self._working = False
        self._timer: Any = None
        #: the deadline that it was set for
        self._timer_for: float | None = None
        self._running = True

    # -- asked by Buildbot's side -------------------------------------------------------------------------------------

    def agent_heard(self, status: Status, user: str) -> None:
        """It told the fleet of itself: one of a thousand that do so all the time, most of which hold nothing here."""
        if self.machine.holds(status.instance, user):
            self.feed(inputs.AgentHeard(instance=status.instance, user=user, every=status.every))

    def seek(self, client: Client, seek: inputs.Seek) -> None:
        """Find an agent for `seek.request`; `client` hears what becomes of it."""
        self.clients[seek.request] = client
        self.feed(seek)

    def leave(self, client: Client, event: inputs.Withdraw | inputs.Done | inputs.Keep) -> None:
        """`client` wants nothing more of its request."""
        if self.clients.get(event.request) is client:
            del self.clients[event.request]
            self.feed(event)

    def send(self, message: Data, address: str, terms: actions.Terms | None) -> None:
        """Bytes of a download, sealed where the session is."""
        if self.traces is not None:
            self._count(self.traces.served, message, time.time())
        self._send(message, address, terms)

    def _send(self, message: Message, address: str, terms: actions.Terms | None) -> None:
        """What cannot be sealed and must be is not sent."""
        if self.link is None:
            return
        try:
            version = None if terms is None else self.link.version_at(address)
            sealed = self._seals.outgoing(message, address, terms, version)
        except ContractError as error:
            log.error("amqp.seal_missing_or_invalid", session=getattr(message, "session", None), reason=str(error))
        else:
            self.link.send(sealed, address)

    def feed(self, event: Input) -> None:
        """Hand `event` to the machine; from within an action: after that action's batch."""
        self._inputs.append(event)
        if self._working or not self._running:
            return
        self._working = True
        try:
            while self._inputs:
                for action in self._handle(self._inputs.popleft()):
                    self._carry_out(action)
        finally:
            self._working = False
            self._set_timer()

    def _handle(self, event: Input) -> list[Action]:
        now = time.monotonic()
        self._count(self.figures.saw, event, now)
        if self.traces is not None:
            self._count(self.traces.saw, event, time.time())
        try:
            return self.machine.handle(event, now)
        except ValueError as error:
            # an order of Buildbot's that no message can carry; pydantic's errors are ValueErrors
            request = getattr(event, "request", None)
            log.error("amqp.order_invalid", order=type(event).__name__, request=request, reason=str(error))
            return [actions.Abandoned(request=request, reason=str(error))] if request is not None else []
        except Exception:
            # one input's bug must not make the master ignore the others: the link would be lost with each
            log.exception("amqp.input_failed", input=type(event).__name__)
            return []

    def quick_stop(self) -> None:
        """`buildbot stop`: what runs is kept for the master's next start."""
        for client in list(self.clients.values()):
            client.quick_stop()

    def stop(self) -> None:
        """Nothing falls due any more."""
        self._running = False
        self._cancel_timer()

    # -- told by the link ---------------------------------------------------------------------------------------------

    def link_up(self) -> None:
        """From the link: what counts is published again."""
        self.feed(inputs.LinkUp())
        self._on_link(True)

    def link_down(self, reason: str) -> None:
        """From the link: deliveries of it are void."""
        self.feed(inputs.LinkDown())
        self._on_link(False)

    def link_blocked(self, blocked: bool) -> None:
        """From the link: the broker takes nothing for now, for want of memory or disk."""
        self.feed(inputs.LinkBlocked(blocked=blocked))

    def link_stopped(self, reason: str) -> None:
        """From the link: it will not be tried again."""
        self._on_stopped(reason)

    def message_received(self, delivery: int, message: AnyMessage, user: str, size: int) -> None:
        """From the link: a message that keeps to the protocol, of broker user `user`; `size` in bytes."""
        try:
            opened = self._seals.incoming(message, user)
        except (BadSeal, NotBelieved) as error:
            self._not_opened(delivery, message, user, str(error))
            return
        if opened is None:
            if self.link is not None:
                self.link.ack(delivery)
            return
        self.feed(inputs.MessageReceived(delivery=delivery, message=named(opened, user), user=user, size=size))

    def _not_opened(self, delivery: int, message: AnyMessage, user: str, reason: str) -> None:
        """To `bb.dead` as it came; what must be sealed and is not goes nowhere, or it would be written to a disk."""
        if isinstance(message, Sealed):
            self._carry_out(actions.DeadLetter(delivery=delivery, reason=reason, user=user))
        elif self.figures.reject(user):
            log.warning("amqp.message_rejected", account=user, reason=reason, times=self.figures.rejected[user])
        if self.link is not None:
            self.link.ack(delivery)

    def message_returned(self, message: AnyMessage, routing_key: str) -> None:
        """From the link: nobody was at that address."""
        self._on_returned(message, routing_key)
        self.feed(inputs.Returned(message=message, routing_key=routing_key))

    def agent_died(self, address: str) -> None:
        """From the link: the agent there has ended, with all that kept its sessions."""
        self.feed(inputs.AgentDied(address=address))

    def message_sent_to_dead(self, reason: str, user: str) -> bool:
        """From the link: counts it; is it worth a line in the log?"""
        return self.figures.reject(user)

    def fleet_heard(self, message: FleetMessage) -> None:
        """From the link: what agents and masters tell everybody."""
        self._on_fleet(message)

    # -- the machine's actions ----------------------------------------------------------------------------------------

    def _carry_out(self, action: Action) -> None:
        self._count(self.figures.did, action, time.monotonic())
        if self.traces is not None:
            self._count(self.traces.did, action, time.time())
        try:
            if isinstance(action, _FOR_THE_LINK):
                if self.link is not None:
                    self._publish(action, self.link)
            elif isinstance(action, _FOR_A_CLIENT):
                self._tell(action, self.clients.get(action.request))
            elif isinstance(action, actions.ForgetSeal):
                self._seals.forget(action.session)
            elif isinstance(action, actions.CheckRequest):
                self._check(action.request).addBoth(self._checked, action.request)
            elif isinstance(action, actions.Alarm):
                log.warning(action.event, detail=action.detail, request=action.request)
            else:
                assert_never(action)
        except Exception:
            # one client's bug must not take the master's other builds along
            log.exception("amqp.action_failed", action=type(action).__name__)

    @staticmethod
    def _count(figure: Callable[[Any, float], None], what: Input | Action | Data, now: float) -> None:
        """Figures and traces are for people who watch: an error in them changes nothing."""
        try:
            figure(what, now)
        except Exception:
            log.exception("amqp.metrics_not_updated", what=type(what).__name__)

    def _traced(self, message: Sent) -> Sent:
        """With the span that it belongs to, where traces are wanted."""
        if self.traces is not None:
            try:
                return self.traces.stamped(message)
            except Exception:
                log.exception("amqp.message_not_traced", type=type(message).__name__)
        return message

    def _publish(self, action: ForTheLink, link: BridgeLink) -> None:
        if isinstance(action, actions.PublishOffer):
            link.publish_offer(self._traced(action.offer), action.priority)
        elif isinstance(action, actions.DeadOffer):
            link.dead_offer(action.offer, action.reason, action.priority)
        elif isinstance(action, actions.Send):
            self._send(self._traced(action.message), action.address, action.terms)
        elif isinstance(action, actions.Broadcast):
            link.broadcast(action.message)
        elif isinstance(action, actions.SendMarker):
            link.send_marker(action.message)
        elif isinstance(action, actions.SweepOffers):
            link.sweep(action.signature, self.machine.is_stale)
        elif isinstance(action, actions.Ack):
            link.ack(action.delivery)
        elif isinstance(action, actions.DeadLetter):
            if self.figures.reject(action.user):
                times = self.figures.rejected[action.user]
                log.warning("amqp.message_rejected", account=action.user, reason=action.reason, times=times)
            link.dead_letter(action.delivery, action.reason)
        else:
            assert_never(action)

    def _tell(self, action: ForAClient, client: Client | None) -> None:
        if client is None:
            if isinstance(action, actions.Deliver):  # nobody wants it any more
                self.feed(inputs.EventStored(session=action.event.session, seq=action.event.seq))
        elif isinstance(action, actions.Deliver):
            if client.session is not None:
                client.session.deliver(action.event)
        elif isinstance(action, actions.StateChanged):
            client.state_changed(action.state)
        elif isinstance(action, actions.Attach):
            client.attach(action.holder, action.adopted)
        elif isinstance(action, actions.ServeData):
            if client.session is not None:
                client.session.serve(action)
        elif isinstance(action, actions.Lost):
            self._forget(action.request)
            client.lost(action.reason)
        elif isinstance(action, actions.Abandoned):
            self._forget(action.request)
            client.abandoned(action.reason)
        elif isinstance(action, actions.CancelledEarlier):
            client.cancelled_earlier(action.reason)
        else:
            assert_never(action)

    def _forget(self, request: str) -> None:
        self.clients.pop(request, None)

    def _checked(self, result: Any, request: str) -> None:
        if isinstance(result, bool):
            self.feed(inputs.RequestChecked(request=request, complete=result))
        else:
            # the database fails: an agent's work is not thrown away for that
            log.error("amqp.request_check_failed", request=request, reason=str(getattr(result, "value", result)))
            self.feed(inputs.RequestChecked(request=request, complete=False))

    # -- time ---------------------------------------------------------------------------------------------------------

    def _set_timer(self) -> None:
        deadline = self.machine.deadline if self._running else None
        if self._timer is not None and deadline == self._timer_for:
            return  # most inputs of a large fleet change nothing of it
        self._cancel_timer()
        if deadline is not None:
            self._timer_for = deadline
            self._timer = self._reactor.callLater(max(SOON, deadline - time.monotonic()), self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.feed(inputs.Tick())

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
