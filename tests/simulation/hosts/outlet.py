"""Publishing with confirms, as both edges do it: another channel where the broker says no, a new link where it is mute.

A cluster that elects a leader can leave a channel behind that refuses, or silently swallows, whatever is published on
it to a quorum queue, for as long as it lives (`MemoryBroker.lose_leaders`). The rules are those of
`worker_agent/link/amqp/outlet.py`, `master_bridge/link/amqp/connections.py` and of `ConfirmWatch` in both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from contracts.testing.memory_broker.channels import Channel
from contracts.testing.memory_broker.connections import Connection
from contracts.testing.memory_broker.queues import Publication, QueueOptions
from contracts.timing import CONFIRM_LAST_PATIENCE, CONFIRM_PATIENCE
from contracts.topology import DEAD_QUEUE
from tests.simulation.planted.mutants import Mutant

#: The broker has it · no queue takes it · the broker refuses it.
Answer = Literal["taken", "returned", "refused"]
#: Seconds between a refusal and the next try, and between two new channels.
BEFORE_NEXT = 1.0
RENEW_EVERY = 5.0
#: for what is published until the broker takes it
ALWAYS = float("inf")


@dataclass(eq=False, kw_only=True)
class _Sent:
    publication: Publication
    mandatory: bool
    answer: Callable[[Answer], object]
    #: how often it is published when it is refused; then it is answered so
    tries: float
    since: float
    tried: int = 0
    returned: bool = False


@dataclass(eq=False)
class _Lane:
    """A channel, and what was published on it and not answered."""

    channel: Channel
    sent: dict[int, _Sent] = field(default_factory=dict)


class Outlet:
    """`later` calls after a delay, when this machine runs. `lost` is told why the link must begin anew."""

    def __init__(
        self,
        connection: Connection,
        *,
        later: Callable[..., object],
        lost: Callable[[str], object],
        mutant: Mutant,
    ) -> None:
        self._connection = connection
        self._clock = connection.broker.clock
        self._later = later
        self._lost = lost
        self._mutant = mutant
        self._watching = False
        self._renewed_at = float("-inf")
        #: in the order in which they were published first
        self._unanswered: dict[_Sent, None] = {}
        self._lane = self._open()

    def publish(
        self,
        publication: Publication,
        *,
        mandatory: bool = False,
        tries: float = 1,
        answer: Callable[[Answer], object] = lambda _: None,
    ) -> None:
        """`answer` is called when the broker has it, or will not have it; not when the link is lost before."""
        self._publish(
            _Sent(publication=publication, mandatory=mandatory, answer=answer, tries=tries, since=self._clock.now)
        )

    # ---- channels

    def _open(self) -> _Lane:
        lane = _Lane(self._connection.channel())
        lane.channel.on_confirm = partial(self._confirmed, lane)
        lane.channel.on_return = partial(_returned, lane)
        return lane

    def _publish(self, sent: _Sent) -> None:
        sent.since = self._clock.now
        sent.tried += 1
        self._unanswered[sent] = None
        self._watch()
        self._lane.sent[self._lane.channel.publish(sent.publication, mandatory=sent.mandatory)] = sent

    def _confirmed(self, lane: _Lane, tag: int, ok: bool) -> None:
        sent = lane.sent.pop(tag)
        del self._unanswered[sent]
        if ok:
            sent.answer("returned" if sent.returned else "taken")
            return
        again = sent.tried < sent.tries and (sent.tries == ALWAYS or self._elsewhere(lane))
        self._later(BEFORE_NEXT, self._renew, lane)
        if again:
            self._later(BEFORE_NEXT, self._again, sent)
        else:
            sent.answer("refused")

    def _elsewhere(self, refusing: _Lane) -> bool:
        """Is there another channel, or may one be made? Not twice in a moment."""
        rested = self._clock.now - self._renewed_at >= RENEW_EVERY
        return not self._mutant.keeps_channel and (self._lane is not refusing or rested)

    def _renew(self, refusing: _Lane) -> None:
        if self._connection.client_open and self._lane is refusing and self._elsewhere(refusing):
            self._renewed_at = self._clock.now
            self._lane = self._open()

    def _again(self, sent: _Sent) -> None:
        if self._connection.client_open:
            self._publish(sent)

    # ---- confirms that never come

    def _watch(self) -> None:
        if self._unanswered and not self._watching and not self._mutant.trusts_confirms:
            self._watching = True
            since = next(iter(self._unanswered)).since
            self._later(max(0.01, since + CONFIRM_PATIENCE - self._clock.now), self._look)

    def _look(self) -> None:
        self._watching = False
        oldest = next(iter(self._unanswered), None)
        if oldest is None or not self._connection.client_open:
            return
        if self._clock.now - oldest.since < CONFIRM_PATIENCE:
            self._watch()
            return
        # Answered in turn, after all that was published before it: a blocked broker, or a slow line, is waited for.
        self._watching = True
        self._connection.channel().declare(
            DEAD_QUEUE, QueueOptions(), lambda: self._later(CONFIRM_LAST_PATIENCE, self._look_again, oldest.since)
        )

    def _look_again(self, since: float) -> None:
        self._watching = False
        if not self._connection.client_open:
            return
        oldest = next(iter(self._unanswered), None)
        if oldest is not None and oldest.since == since:
            self._lost(f"the broker has not confirmed a publication for {self._clock.now - since:.0f} s")
        else:
            self._watch()


def _returned(lane: _Lane, tag: int, _: Any) -> None:
    lane.sent[tag].returned = True
