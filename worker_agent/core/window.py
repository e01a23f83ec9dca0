"""What of a session's events is under way to the bridge: at most 2 MiB and 64 events that are not stored yet.

    1 … stored │ stored+1 … next-1 │ next … last
    Buildbot   │ published, not    │ in the journal, not published (again) yet
    has them   │ known to be stored│

A `stored` moves the left border, a publication the right one; a grant or replay takes `next` back to `stored` + 1,
a lost link to the first event that the broker had not confirmed (what it has confirmed is in a durable queue).

Pure bookkeeping: it publishes nothing itself.
"""

from __future__ import annotations

from collections import deque

from contracts.messages import Event
from contracts.timing import EVENT_RESEND, WINDOW_BYTES, WINDOW_EVENTS

#: Bytes published and neither confirmed nor refused yet, repetitions included: a connection that the broker blocks
#: must not be filled by replays.
UNCONFIRMED_BYTES = 2 * WINDOW_BYTES


def event_size(event: Event) -> int:
    """Bytes that an event counts for in the window: its data, and its value as text."""
    return len(event.data) + (0 if event.value is None else len(str(event.value)))


class EventWindow:
    """The borders above. Sequence numbers start at 1; `stored` 0 means nothing. Times in seconds."""

    def __init__(self, now: float) -> None:
        self.stored = 0
        #: the next event to publish
        self.next = 1
        #: the last event that the journal is known to hold
        self.last = 0
        self._under_way: deque[tuple[int, int]] = deque()
        self._bytes = 0
        self._confirmed: set[int] = set()
        self._tokens: dict[int, tuple[int, int]] = {}
        self._unconfirmed = 0
        self._progress_at = now
        self._paused_until: float | None = None
        #: sequence number and size of an event that was read and did not fit
        self._kept_back = (0, 0)

    @property
    def size_of_next(self) -> int:
        """Bytes of the event `next`, if it was kept back before; else 0: nobody has read it yet."""
        seq, size = self._kept_back
        return size if seq == self.next else 0

    def keep_back(self, size: int) -> None:
        """Event `next`, of that size, did not fit: it need not be read again before it does."""
        self._kept_back = (self.next, size)

    @property
    def all_confirmed(self) -> bool:
        """The broker or Buildbot has every event that the journal holds (rule 17)."""
        return self.next > self.last and len(self._confirmed) == len(self._under_way)

    def has_room(self, size: int) -> bool:
        """May one more event of `size` bytes be published? A single one always may, however large."""
        if self._paused_until is not None:
            return False
        if self._under_way and (len(self._under_way) >= WINDOW_EVENTS or self._bytes + size > WINDOW_BYTES):
            return False
        return not self._tokens or self._unconfirmed + size <= UNCONFIRMED_BYTES

    def published(self, size: int, token: int, now: float) -> None:
        """Event `next` was published with this token."""
        if not self._under_way:
            self._progress_at = now
        self._under_way.append((self.next, size))
        self._bytes += size
        self._tokens[token] = (self.next, size)
        self._unconfirmed += size
        self.next += 1

    def confirmed(self, token: int) -> None:
        """The broker has the event that was published with this token."""
        seq = self._answered(token)
        if seq is not None and self.stored < seq < self.next:
            self._confirmed.add(seq)

    def refused(self, token: int, now: float) -> None:
        """The queue is full or gone: nothing more for 5 s, then again from this event on."""
        seq = self._answered(token)
        if seq is not None and self.stored < seq < self.next:
            self._back_to(seq)
            self._paused_until = now + EVENT_RESEND

    def _answered(self, token: int) -> int | None:
        seq, size = self._tokens.pop(token, (None, 0))
        self._unconfirmed -= size
        return seq

    def advance(self, stored: int, now: float) -> None:
        """Buildbot has stored up to `stored`, at most `last`."""
        if stored <= self.stored:
            return
        self.stored = stored
        self.next = max(self.next, stored + 1)
        while self._under_way and self._under_way[0][0] <= stored:
            seq, size = self._under_way.popleft()
            self._bytes -= size
            self._confirmed.discard(seq)
        self._progress_at = now
        self._paused_until = None

    def rewind(self, stored: int, now: float) -> None:
        """A grant or a replay: everything after `stored`, at most `last`, again. It may lie before the border."""
        self.stored = stored
        self.next = stored + 1
        self._under_way.clear()
        self._bytes = 0
        self._confirmed.clear()
        self._progress_at = now
        self._paused_until = None

    def link_lost(self) -> None:
        """What was not confirmed is void."""
        self._tokens.clear()
        self._unconfirmed = 0
        self._paused_until = None
        for seq, _ in self._under_way:
            if seq not in self._confirmed:
                self._back_to(seq)
                return

    def resend_at(self, heard_at: float) -> float | None:
        """When to send again (rule 13); None: there is nothing to send again.

        `heard_at` is when the bridge spoke last. Confirmed events are in a durable queue, so while the bridge is
        silent they are not sent again: that would fill a dead master's queue. Unanswered publications are waited
        for: only the loss of the link loses them.
        """
        if self._paused_until is not None:
            return self._paused_until
        if self._under_way and not self._tokens and heard_at > self._progress_at:
            return self._progress_at + EVENT_RESEND
        return None

    def resend(self, now: float) -> None:
        """`resend_at` has come."""
        if self._paused_until is not None:
            self._paused_until = None
        else:
            self.rewind(self.stored, now)

    def _back_to(self, seq: int) -> None:
        self.next = seq
        while self._under_way and self._under_way[-1][0] >= seq:
            gone, size = self._under_way.pop()
            self._bytes -= size
            self._confirmed.discard(gone)
