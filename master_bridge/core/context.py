"""What all parts of the bridge's machine share: its name, the link, the clock that stops with it, and the way out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from contracts.machines.bounded import Bounded
from contracts.messages import Claimant, Marker, Message
from contracts.timing import GRACE, ROLL_CALL_WINDOW
from contracts.trust.tickets import Tickets
from master_bridge.core.actions import (
    Ack,
    Action,
    Alarm,
    DeadLetter,
    ForgetSeal,
    Send,
    SendMarker,
    StateChanged,
    Terms,
)
from master_bridge.core.memory import REMEMBERED, History, Verdict, history_of
from master_bridge.core.records import Session, WorkUnit
from master_bridge.core.timers import Timers

#: A marker that did not come back is sent again after this (the claims queue may have been full).
MARKER_RESEND = 5.0


@dataclass(frozen=True, kw_only=True)
class BridgeConfig:
    """Who this bridge is."""

    master: str
    incarnation: str
    #: `key_word` of our own broker user: offers name it (rule 22), and a forged marker is known by it
    user: str
    #: rule 21
    tickets: Tickets
    #: this machine's monotonic seconds -> seconds since the epoch, for `Offer.published`
    wall: Callable[[float], float]
    #: seconds, rule 10
    grace: float = GRACE
    #: seconds, rule 12; 0: no agent can have a session of ours when the link comes up first
    roll_call: float = ROLL_CALL_WINDOW


class Context:
    """State of the link and the actions of the input that is being handled."""

    def __init__(self, *, config: BridgeConfig, new_id: Callable[[], str], now: float) -> None:
        self.config = config
        self.new_id = new_id
        self.now = now
        self.actions: list[Action] = []
        self.timers = Timers()
        #: verdict by session, for agents that come back late
        self.verdicts: Bounded[str, Verdict] = Bounded(REMEMBERED)
        self.histories: Bounded[str, History] = Bounded(REMEMBERED)
        self.up = False
        self.blocked = False
        #: when the link came up, on its own clock
        self.up_at = 0.0
        #: how often it came up
        self.links = 0
        self._clock = 0.0
        self._marker = 0
        #: a marker sent during this very input serves all who want one
        self._marker_now = False

    # the link and its clock

    @property
    def active(self) -> bool:
        """What we send goes out: the link is up, and not blocked."""
        return self.up and not self.blocked

    @property
    def clock(self) -> float:
        """Seconds, standing still while the link is down or blocked (rule 10)."""
        return self._clock

    def advance(self, now: float) -> None:
        """The time is `now`; a time that goes back is taken as standing still."""
        self._marker_now = False
        if now > self.now:
            if self.active:
                self._clock += now - self.now
            self.now = now

    # ways out

    def emit(self, action: Action) -> None:
        self.actions.append(action)

    def send(self, message: Message, address: str, terms: Terms | None = None) -> None:
        """To an agent. Without a link: to nobody; what still matters is said again when it is up."""
        if self.up:
            self.emit(Send(message=message, address=address, terms=terms))

    def ack(self, delivery: int) -> None:
        self.emit(Ack(delivery=delivery))

    def reject(self, delivery: int, reason: str, user: str) -> None:
        self.emit(DeadLetter(delivery=delivery, reason=reason, user=user))
        self.ack(delivery)

    def alarm(self, event: str, detail: str, request: str | None = None) -> None:
        self.emit(Alarm(event=event, detail=detail, request=request))

    def marker(self) -> int:
        """The number of a marker on its way through our claims queue."""
        if not self._marker_now:
            self._marker += 1
            self._marker_now = True
            self.emit(SendMarker(message=Marker(incarnation=self.config.incarnation, k=self._marker)))
        return self._marker

    def changed(self, work: WorkUnit) -> None:
        """Tell the state of `work` when it is another than what was told last."""
        state = work.state.view
        if state != work.told:
            work.told = state
            self.emit(StateChanged(request=work.request, state=state))

    # rule 11

    def keep(self, session: Session, delivery: int, message: Claimant) -> None:
        """Hold the latest claim, resume or accept of `session`; acknowledge what it replaces."""
        is_claim = message.t == "claim"  # type: ignore[attr-defined]  # all concrete claimants have it
        if session.delivery is None:
            session.delivery, session.delivery_is_claim = delivery, is_claim
        elif is_claim and not session.delivery_is_claim:
            self.ack(delivery)
        else:
            self.ack(session.delivery)
            session.delivery, session.delivery_is_claim = delivery, is_claim

    def let_go(self, session: Session) -> None:
        """The session is over: acknowledge all that was held for it, and forget its alarms."""
        if session.delivery is not None:
            self.ack(session.delivery)
            session.delivery = None
        for delivery in session.order.drain():
            self.ack(delivery)
        for purpose in ("accept", "grace", "suspect", "rival", "stored", "replay", "orphan"):
            self.timers.set(purpose, session.session, None)
        if session.terms is not None:
            self.emit(ForgetSeal(session=session.session))

    # memory

    def history(self, request: str) -> History:
        return self.histories.get(request) or history_of(False, 0)

    def note_life(self, request: str) -> None:
        """There was an offer of this request, in this incarnation or an earlier one: the next one asks (rule 16)."""
        history = self.history(request)
        if not history.known:
            self.histories.put(request, history_of(True, history.lives))

    def count_life(self, request: str) -> int:
        history = self.history(request)
        self.histories.put(request, history_of(history.known, history.lives + 1))
        return history.lives + 1
