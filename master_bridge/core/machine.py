"""The bridge's state machine: all rules that a bridge keeps (docs/protocol.md), without socket, reactor or clock.

One build request, or one step's command, from Buildbot's question to its answer:

                                        Seek
                                          │   (roll call of this link over: WINDOW takes no time)
      unasked sessions ─┐                 ▼
      (rollcall.py)     └── adopted ── WINDOW ── Withdraw ───────────────────────► done
                              │           │ roll call 2 s, marker back, none held
                              │           ▼          link-up, Reroute: offer again
                              │        WAITING ◄───────────────────────────┐ ─── Withdraw ──► done
                              │           │ claim or resume                │
                              │           ▼                                │
                              └──────► GRANTED ── gone, given up ──────────┘ ─── Withdraw ──► release, done
                                          │  │ ▲    (4 s without accept: grant again)
                                   accept │  │ └───────── newer epoch ───────┐
                                   attach │  └── ping came back ──► MISSING ─┤
                                          ▼                           ▲     │ grace, marker
                                        HELD ──── ping came back ─────┘     ▼
                                        │ │ ▲───── newer epoch ─────────  given up: refuse, and
                                        │ └─┴ resume: grant, accept:      to Buildbot: Lost
                                        │     repeat open starts          (not attached: WAITING)
                                        ├── gone, diverged ──► Lost
                                        ├── Keep ──► unasked session
                                        └── Done ──► release, done

Parts: `letters` (what agents say), `placing` (window, offers, grants), `leftovers` (stale offers), `holding` (commands,
events, ends), `presence` (pings, grace, clones), `rollcall` (unasked sessions), `events` (order of one session's
events), `records` (data), `context` (link, clock, way out), `memory` and `timers`.
"""

from __future__ import annotations

from collections.abc import Callable

from contracts.messages import Alive, Offer
from contracts.messages import RollCall as RollCallMessage
from contracts.timing import ALIVE_INTERVAL, ROLL_CALL_WINDOW
from master_bridge.core import inputs
from master_bridge.core.actions import Action, Broadcast
from master_bridge.core.context import MARKER_RESEND, BridgeConfig, Context
from master_bridge.core.holding import Holding
from master_bridge.core.letters import Letters
from master_bridge.core.placing import Placing
from master_bridge.core.presence import Presence
from master_bridge.core.records import RequestView
from master_bridge.core.rollcall import RollCall

__all__ = ["BridgeConfig", "BridgeMachine", "RequestView"]


class BridgeMachine:
    """Inputs and ticks in, actions out. `new_id` gives a fresh offer id each time; `now` is monotonic seconds.

    A request is unknown here before its `Seek` and after its `Done`, `Withdraw`, `Keep`, `Lost` or `Abandoned`;
    orders for an unknown one do nothing, since they race with those.
    """

    def __init__(self, *, config: BridgeConfig, new_id: Callable[[], str], now: float) -> None:
        self._context = Context(config=config, new_id=new_id, now=now)
        self._roll = RollCall(self._context)
        self._placing = Placing(self._context, self._roll)
        self._holding = Holding(self._context, self._placing)
        self._presence = Presence(self._context, self._placing, self._holding)
        self._letters = Letters(
            self._context, roll=self._roll, placing=self._placing, holding=self._holding, presence=self._presence
        )
        #: the marker that must be back before the roll call's window closes
        self._window_marker: int | None = None
        self._due: dict[str, Callable[[str], None]] = {
            "alive": self._say_alive,
            "ping": lambda _: self._presence.ping_all(),
            "window": self._window_over,
            "accept": self._placing.not_accepted,
            "reoffer": self._placing.offer_again,
            "sweep": self._placing.leftovers.look,
            "grace": self._presence.grace_over,
            "suspect": self._presence.suspect_silent,
            "rival": self._presence.rival_silent,
            "stored": self._holding.tell,
            "replay": self._holding.replay,
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

    def next_n(self, request: str) -> int:
        """The number that the next `StartCommand` of `request` will get."""
        return self._holding.next_n(self._placing.works.get(request))

    def is_stale(self, offer: Offer) -> bool:
        """Whether `offer`, found in a queue, is of no use to anybody (`SweepOffers`)."""
        return self._placing.leftovers.is_stale(offer)

    def requests(self) -> tuple[RequestView, ...]:
        """All requests that look for an agent or have one, then the sessions that nobody has asked for."""
        context = self._context
        views = []
        for work in self._placing.works.values():
            session = work.session
            views.append(
                RequestView(
                    request=work.request,
                    state=work.view_state,
                    since=work.since,
                    run=work.seek.run,
                    kind=work.seek.kind,
                    signature=work.seek.signature,
                    title=work.seek.title,
                    builder=work.seek.builder,
                    priority=work.seek.priority,
                    offers=len(work.offers),
                    lives=context.history(work.request).lives,
                    session=session.session if session else None,
                    agent=session.agent if session else None,
                    instance=session.instance if session else None,
                    address=session.address if session else None,
                    stored=session.order.stored if session else 0,
                    delivered=session.order.delivered if session else 0,
                )
            )
        views += [
            RequestView(
                request=session.request,
                state="unasked",
                since=session.since,
                run=session.run,
                lives=context.history(session.request).lives,
                session=session.session,
                agent=session.agent,
                instance=session.instance,
                address=session.address,
            )
            for session in self._roll
        ]
        return tuple(views)

    # inputs

    def _take_in(self, input: inputs.Input) -> None:
        context = self._context
        if isinstance(input, inputs.MessageReceived):
            if context.up:  # a delivery of a link that is gone is void
                k = self._letters.read(input)
                if k is not None:
                    self._marker_back(k)
        elif isinstance(input, inputs.EventStored):
            work = self._placing.holders.get(input.session)
            if work is not None and work.session is not None:
                self._holding.stored(work.session, input)
        elif isinstance(input, inputs.Returned):
            if context.up:
                self._presence.returned(input.message, input.routing_key)
        elif isinstance(input, inputs.AgentHeard):
            self._presence.heard(input.instance, input.user)
        elif isinstance(input, inputs.LinkUp):
            self._link_up()
        elif isinstance(input, inputs.LinkDown):
            self._link_down()
        elif isinstance(input, inputs.LinkBlocked):
            self._link_blocked(input.blocked)
        elif isinstance(input, inputs.Declared):
            self._placing.leftovers.declared(input.signatures)
        elif isinstance(input, inputs.Seek):
            self._seek(input)
        elif isinstance(input, inputs.RequestChecked):
            self._roll.checked(input.request, input.complete, wanted=input.request in self._placing.works)
        elif not isinstance(input, inputs.Tick):
            self._order(input)

    def _seek(self, seek: inputs.Seek) -> None:
        self._placing.check(seek)
        work = self._placing.works.get(seek.request)
        if work is not None:  # Buildbot asks anew without having ended the last time: its session is adopted
            self._placing.keep(work)
        self._placing.seek(seek)

    def _order(
        self,
        order: inputs.Withdraw
        | inputs.Reroute
        | inputs.Done
        | inputs.Keep
        | inputs.StartCommand
        | inputs.InterruptCommand,
    ) -> None:
        work = self._placing.works.get(order.request)
        if work is None:
            return
        if isinstance(order, (inputs.Withdraw, inputs.Done)):
            self._placing.done(work)
        elif isinstance(order, inputs.Keep):
            self._placing.keep(work)
        elif isinstance(order, inputs.Reroute):
            self._placing.reroute(work, order)
        elif isinstance(order, inputs.StartCommand):
            self._holding.start(work, order)
        else:
            self._holding.interrupt(work, order)

    # the link

    def _link_up(self) -> None:
        """Call the roll, offer what waits, ask after all holders (rules 4, 7, 9, 12)."""
        context = self._context
        if context.up:
            self._link_down()
        context.up, context.blocked = True, False
        context.up_at = context.clock
        config = context.config
        context.emit(Broadcast(message=RollCallMessage(master=config.master, incarnation=config.incarnation)))
        self._placing.link_up()
        self._resume()

    def _link_down(self) -> None:
        """Deliveries are void; what was said may not have arrived."""
        context = self._context
        if not context.up:
            return
        context.up = context.blocked = False
        self._pause()
        self._roll.link_down()
        self._placing.link_down()
        for work in self._placing.holders.values():
            if work.session is not None:
                work.session.delivery = None
                work.session.order.void()

    def _link_blocked(self, blocked: bool) -> None:
        context = self._context
        if not context.up or context.blocked == blocked:
            return
        context.blocked = blocked
        if blocked:
            self._pause()
        else:
            self._resume()

    def _pause(self) -> None:
        self._context.timers.clear()
        self._window_marker = None
        self._presence.pause()

    def _resume(self) -> None:
        context = self._context
        context.timers.set("alive", "", context.now + ALIVE_INTERVAL)
        if self._placing.window_open:
            context.timers.set("window", "", context.now + ROLL_CALL_WINDOW)
        self._presence.resume()
        self._placing.resume_clock()
        self._roll.resume_clock()

    def _say_alive(self, _: str) -> None:
        config = self._context.config
        self._context.emit(Broadcast(message=Alive(master=config.master, incarnation=config.incarnation)))
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
            self._placing.close_window()
        self._presence.marker_back(k)
