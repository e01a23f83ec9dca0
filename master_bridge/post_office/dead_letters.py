"""What could not be read or placed, until an operator looks at it. Pure, bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from contracts import topology
from contracts.burial import copied
from contracts.codec import Wire
from contracts.frames.frames import Carried, NextDead, OfDead, SettleDead
from master_bridge.post_office.actions import SendFrame
from master_bridge.post_office.offers import WaitingOffers

#: Dead letters that are kept, and bytes of them: the oldest go first.
DEAD_MAX, DEAD_BYTES_MAX = 1_000, 16 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class KeptLetter:
    """`user`: who put it there; `place`: its number, from 1, which no other gets."""

    user: str
    key: str
    wire: Wire
    place: int = 0


@dataclass
class DeadLetters:
    """With the reason in a header."""

    #: how many had to go for younger ones
    dropped: int = 0
    _kept: deque[KeptLetter] = field(default_factory=deque)
    _bytes: int = 0
    _places: int = 0

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, user: str, key: str, wire: Wire) -> None:
        self._places += 1
        self._kept.append(KeptLetter(user=user, key=key, wire=wire, place=self._places))
        self._bytes += len(wire.body)
        while len(self._kept) > DEAD_MAX or self._bytes > DEAD_BYTES_MAX:
            self._bytes -= len(self._kept.popleft().wire.body)
            self.dropped += 1

    def first(self, limit: int) -> list[KeptLetter]:
        return list(islice(self._kept, limit))

    def tell(self, connection: int, frame: NextDead) -> Iterator[SendFrame]:
        """An operator asks for the one behind another."""
        letter = next((each for each in self._kept if each.place > frame.after), None)
        if letter is None:
            yield SendFrame(connection=connection, frame=OfDead(number=frame.number))
            return
        headers = {name: str(value) for name, value in letter.wire.headers.items()}
        carried = Carried(type=letter.wire.type, content_type=letter.wire.content_type, headers=headers)
        found = OfDead(number=frame.number, place=letter.place, key=letter.key, user=letter.user[:128], message=carried)
        yield SendFrame(connection=connection, frame=found, body=letter.wire.body)

    def settle(self, frame: SettleDead, offers: WaitingOffers, user: str) -> bool:
        """An operator drops it, or sends it again in its own name. False: it is not there, or nobody takes it."""
        letter = next((each for each in self._kept if each.place == frame.place), None)
        if letter is None or (frame.how == "again" and not _sent_again(letter, frame, offers, user)):
            return False
        self._kept.remove(letter)
        self._bytes -= len(letter.wire.body)
        return True


def _sent_again(letter: KeptLetter, frame: SettleDead, offers: WaitingOffers, user: str) -> bool:
    """Whoever wrote it is unknown: it is marked, so no agent takes it for a first delivery (rule 22)."""
    headers, left_out = copied(letter.wire.headers)
    if left_out:
        return False
    headers[topology.AGAIN_HEADER] = "true"
    wire = Wire(type="offer", content_type=letter.wire.content_type, body=letter.wire.body, headers=headers)
    return offers.add(frame.queue, wire, frame.priority, user)
