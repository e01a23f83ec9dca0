"""The bridge's state machine: all rules that a bridge keeps (docs/protocol.md), without socket, reactor or clock.

One build request, or one step's command, from Buildbot's question to its answer, goes by the table in `transitions`,
which docs/protocol.md draws.

Parts: `messages` (what agents say), `cues` and `states` (of the table), `placing` (window, offers, grants), `leftovers`
(stale offers), `claims` (claims, resumes, accepts), `holding` (commands, events, ends), `presence` (pings, grace,
clones), `rollcall` (unasked sessions), `events` (order of one session's events), `records` (data), `context` (link,
clock, way out), `memory` and `timers`.
"""

from __future__ import annotations

from collections.abc import Callable

from contracts.machines.exhaustive import assert_never
from contracts.messages import Alive, Offer, RollCall
from contracts.timing import ALIVE_INTERVAL, PING_INTERVAL, STATUS_INTERVAL
from master_bridge.core import cues, inputs
from master_bridge.core.actions import Action, Broadcast
from master_bridge.core.context import MARKER_RESEND, BridgeConfig, Context
from master_bridge.core.holding import Holding
from master_bridge.core.messages import Messages
from master_bridge.core.parts import Parts
from master_bridge.core.placing import Placing
from master_bridge.core.presence import Presence
from master_bridge.core.records import RequestView, WorkUnit, unasked, view_of
from master_bridge.core.rollcall import NotedSessions
from master_bridge.core.transitions import happen

#: Those of Buildbot's orders that are for one request.
_OF_A_REQUEST = (
    inputs.Seek, inputs.Withdraw, inputs.Done, inputs.Keep, inputs.Reroute, inputs.StartCommand,
    inputs.InterruptCommand,
)  # fmt: skip

__all__ = ["BridgeConfig", "BridgeMachine", "RequestView"]


class BridgeMachine:
    """Inputs and ticks in, actions out. `new_id` gives a fresh offer id each time; `now` is monotonic seconds.

    A request is unknown here before its `Seek` and after its `Done`, `Withdraw`, `Keep`, `Lost` or `Abandoned`;
    orders for an unknown one do nothing, since they race with those.
    """

    def __init__(self, *, config: BridgeConfig, new_id: Callable[[], str], now: float) -> None:
        self._context = context = Context(config=config, new_id=new_id, now=now)
        self._roll = NotedSessions(context)
        self._placing = Placing(context, self._roll)
        self._holding = Holding(context, self._placing)
        self._presence = Presence(context, self._placing, self._holding)
        self._parts = Parts(
            context=context, roll=self._roll, placing=self._placing, holding=self._holding, presence=self._presence
        )
        self._messages = Messages(self._parts)
        #: as the next `alive` says
        self._status_every = int(STATUS_INTERVAL)
        #: the marker that must be back before the roll call's window closes
        self._window_marker: int | None = None
        self._due: dict[str, Callable[[str], None]] = {
            "alive": self._say_alive,
            "ping": self._ping_all,
            "window": self._window_over,
            "accept": lambda session: self._of_session(session, cues.AcceptDue()),
            "reoffer": lambda request: happen(self._parts, request, cues.OfferDue()),
            "sweep": self._placing.leftovers.look,
            "grace": lambda session: self._of_session(session, cues.GraceOver()),
            "suspect": lambda session: self._of_session(session, cues.SuspectDue()),
            "rival": lambda session: self._of_session(session, cues.RivalDue()),
            "stored": lambda session: self._of_session(session, cues.StoredDue()),
            "replay": lambda session: self._of_session(session, cues.ReplayDue()),
            "check": self._roll.recheck,
            "orphan": self._roll.orphaned,
        }

    # interface

    def handle(self, input: inputs.Input, now: float) -> list[Action]:
        """What to do now, in this order. Raises only `ValidationError`, and changes nothing then, for an order of
        Buildbot's that no message can carry (a `Seek`, `Reroute` or `StartCommand` with a bad name or digest)."""
        context = self._context
        context.advance(now)
        actions: list[Action] = []
        context.actions = actions
        self._take_in(input)
        while (key := context.timers.pop(context.now)) is not None:
            purpose, of = key
            self._due[purpose](of)
        return actions

    @property
    def deadline(self) -> float | None:
        """When to `Tick` next, in monotonic seconds; None: nothing is due ever."""
        return self._context.timers.next

    def holds(self, instance: str, user: str) -> bool:
        """Whether this agent has a session here; of no other does `AgentHeard` mean anything."""
        return bool(self._placing.holders.of_agent(instance, user))

    def next_n(self, request: str) -> int:
        """The number that the next `StartCommand` of `request` will get."""
        return self._holding.next_n(self._placing.works.get(request))

    def is_stale(self, offer: Offer) -> bool:
        """Whether `offer`, found in a queue, is of no use to anybody (`SweepOffers`)."""
        return self._placing.leftovers.is_stale(offer)

    def requests(self) -> tuple[RequestView, ...]:
        """All requests that look for an agent or have one, then the sessions that nobody has asked for."""
        history = self._context.history
        works = [view_of(work, history(work.request).lives) for work in self._placing.works.values()]
        return (*works, *(unasked(session, history(session.request).lives) for session in self._roll))

    # inputs

    def _take_in(self, input: inputs.Input) -> None:
        context = self._context
        if isinstance(input, inputs.MessageReceived):
            if context.up:  # a delivery of a link that is gone is void
                k = self._messages.read(input)
                if k is not None:
                    self._marker_back(k)
        elif isinstance(input, inputs.EventStored):
            self._of_session(input.session, input)
        elif isinstance(input, inputs.Returned):
            if context.up:
                self._returned(input)
        elif isinstance(input, inputs.AgentHeard):
            for work in self._placing.holders.of_agent(input.instance, input.user):
                happen(self._parts, work.request, input)
        elif isinstance(input, inputs.StatusesWanted):
            self._status_every = input.every
        elif isinstance(input, inputs.AgentDied):
            for work in self._holders():
                if work.granted.address == input.address:
                    happen(self._parts, work.request, input)
        elif isinstance(input, inputs.LinkUp):
            self._link_up()
        elif isinstance(input, inputs.LinkDown):
            self._link_down()
        elif isinstance(input, inputs.LinkBlocked):
            self._link_blocked(input.blocked)
        elif isinstance(input, inputs.Declared):
            self._placing.leftovers.declared(input.signatures)
        elif isinstance(input, inputs.RequestChecked):
            self._roll.checked(input.request, input.complete, wanted=input.request in self._placing.works)
        elif isinstance(input, _OF_A_REQUEST):
            happen(self._parts, input.request, input)
        elif isinstance(input, inputs.Tick):
            pass  # all that is due is done after each input
        else:
            assert_never(input)

    def _holders(self) -> tuple[WorkUnit, ...]:
        """The requests with a session. What happens to one may end others'."""
        return tuple(self._placing.holders.values())

    def _of_session(self, session: str, cue: cues.Cue) -> None:
        """`cue` happens to the request that has it; it may be over."""
        work = self._placing.holders.get(session)
        if work is not None:
            happen(self._parts, work.request, cue)

    def _returned(self, returned: inputs.Returned) -> None:
        """The queue at that address is gone; what was for no session, as a roll call, tells of all sessions there."""
        cue = cues.MessageReturned(address=returned.routing_key)
        session: str | None = getattr(returned.message, "session", None)
        if session is not None:
            self._of_session(session, cue)
            return
        for work in self._holders():
            if work.granted.address == returned.routing_key:
                happen(self._parts, work.request, cue)

    # the link

    def _link_up(self) -> None:
        """Call the roll, offer what waits, ask after all holders (rules 4, 7, 9, 12)."""
        context = self._context
        if context.up:
            self._link_down()
        context.up, context.blocked = True, False
        context.up_at = context.clock
        context.links += 1
        config = context.config
        context.emit(Broadcast(message=RollCall(master=config.master, incarnation=config.incarnation)))
        self._placing.window_open = True
        self._to_all(inputs.LinkUp())
        self._start_clock()

    def _link_down(self) -> None:
        """Deliveries are void; what was said may not have arrived."""
        context = self._context
        if not context.up:
            return
        context.up = context.blocked = False
        self._stop_clock()
        self._roll.link_down()
        self._to_all(inputs.LinkDown())

    def _link_blocked(self, blocked: bool) -> None:
        context = self._context
        if not context.up or context.blocked == blocked:
            return
        context.blocked = blocked
        if blocked:
            self._stop_clock()
        else:
            self._start_clock()

    def _stop_clock(self) -> None:
        self._context.timers.clear()
        self._window_marker = None
        self._to_all(cues.ClockStopped())

    def _start_clock(self) -> None:
        context = self._context
        context.timers.set("alive", "", context.now + ALIVE_INTERVAL)
        if self._placing.window_open:
            context.timers.set("window", "", context.now + context.config.roll_call)
        self._to_all(cues.ClockStarted())
        self._ping_all("")
        self._placing.leftovers.resume()
        self._roll.clock_starts()

    def _to_all(self, cue: cues.Cue) -> None:
        for request in tuple(self._placing.works):
            happen(self._parts, request, cue)

    def _ping_all(self, _: str) -> None:
        for work in self._holders():
            happen(self._parts, work.request, cues.PingDue())
        self._context.timers.set("ping", "", self._context.now + PING_INTERVAL)

    def _say_alive(self, _: str) -> None:
        config, every = self._context.config, self._status_every
        alive = Alive(master=config.master, incarnation=config.incarnation, status_every=every)
        self._context.emit(Broadcast(message=alive))
        self._context.timers.set("alive", "", self._context.now + ALIVE_INTERVAL)

    # markers

    def _window_over(self, _: str) -> None:
        """The time is over; what is under way to us still counts (rule 10)."""
        self._window_marker = self._context.marker()
        self._context.timers.set("window", "", self._context.now + MARKER_RESEND)

    def _marker_back(self, k: int) -> None:
        if self._window_marker is not None and k >= self._window_marker:
            self._window_marker = None
            self._context.timers.set("window", "", None)
            self._placing.window_open = False
            self._to_all(cues.RollCallOver())
        for work in self._holders():
            happen(self._parts, work.request, cues.MarkerBack(k=k))
