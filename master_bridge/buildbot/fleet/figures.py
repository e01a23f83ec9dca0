"""What the bridge counts while it carries inputs in and actions out. Plain numbers; `metrics` shows them."""

from __future__ import annotations

from collections import Counter

from cachetools import FIFOCache

from contracts.messages import Claim, Event, Grant, Later, Refuse, Resume
from contracts.operations.histogram import Histogram
from master_bridge.core import actions, inputs
from master_bridge.core.actions import Action
from master_bridge.core.inputs import Input

#: Requests and claims whose end is awaited; the oldest are forgotten first.
PENDING = 10_000
#: Accounts whose rejected messages are counted one by one; all others together are `OTHERS`, and what has no `user_id`
#: is nobody's. Neither can be the name of a user (`key_word`).
ACCOUNTS = 200
OTHERS = "(others)"
UNNAMED = "(nobody)"


class Figures:
    """Counted since the bridge started. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.claims = 0
        self.resumes = 0
        self.grants = 0
        self.refusals = 0
        self.events = 0
        #: bytes of output and files that agents sent
        self.log_bytes = 0
        self.offers = 0
        self.lost = 0
        self.dead_letters = 0
        #: by broker user (`key_word`), what it sent that was not believed or could not be read
        self.rejected: Counter[str] = Counter()
        self.links = 0
        self.links_lost = 0
        #: by kind of alarm
        self.alarms: Counter[str] = Counter()
        #: from the wish for an agent to its accept; from a claim's arrival to that
        self.queue_wait = Histogram()
        self.claim_latency = Histogram()
        self._sought: FIFOCache[str, float] = FIFOCache(PENDING)
        self._claimed: FIFOCache[str, float] = FIFOCache(PENDING)

    def saw(self, event: Input, now: float) -> None:
        """An input of the machine, at `now` (monotonic seconds)."""
        if isinstance(event, inputs.MessageReceived):
            message = event.message
            if isinstance(message, Event):
                self.events += 1
                self.log_bytes += len(message.data)
            elif isinstance(message, Claim):
                self.claims += 1
                self._claimed.setdefault(message.request, now)
            elif isinstance(message, Resume):
                self.resumes += 1
        elif isinstance(event, inputs.Seek):
            self._sought.setdefault(event.request, now)
        elif isinstance(event, (inputs.Withdraw, inputs.Done, inputs.Keep)):
            self._forget(event.request)
        elif isinstance(event, inputs.LinkUp):
            self.links += 1
        elif isinstance(event, inputs.LinkDown):
            self.links_lost += 1

    def did(self, action: Action, now: float) -> None:
        """An action of the machine, at `now` (monotonic seconds)."""
        if isinstance(action, actions.Send):
            self.grants += isinstance(action.message, Grant)
            self.refusals += isinstance(action.message, (Refuse, Later))
        elif isinstance(action, actions.PublishOffer):
            self.offers += 1
        elif isinstance(action, actions.Attach):
            if (since := self._sought.pop(action.request, None)) is not None:
                self.queue_wait.observe(now - since)
            if (since := self._claimed.pop(action.request, None)) is not None:
                self.claim_latency.observe(now - since)
        elif isinstance(action, (actions.Lost, actions.Abandoned)):
            self.lost += 1
            self._forget(action.request)
        elif isinstance(action, actions.DeadOffer):
            self.dead_letters += 1
        elif isinstance(action, actions.Alarm):
            self.alarms[action.event] += 1

    def reject(self, user: str) -> bool:
        """Count a message of `user` that went to `dead`. True: it is worth a line, as the 1st, 2nd, 4th, 8th … is."""
        self.dead_letters += 1
        account = user or UNNAMED
        if account not in self.rejected and len(self.rejected) >= ACCOUNTS:
            account = OTHERS
        self.rejected[account] += 1
        return self.rejected[account].bit_count() == 1

    def _forget(self, request: str) -> None:
        self._sought.pop(request, None)
        self._claimed.pop(request, None)
