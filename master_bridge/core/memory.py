"""What the bridge remembers of sessions and requests that it has no record of any more. Bounded, oldest out first."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

#: Entries kept of each kind. A busy master ends some 100,000 sessions a day; an agent that was cut off comes back
#: within hours, and what is forgotten is looked up in Buildbot's database instead (rule 5).
REMEMBERED = 20_000

Value = TypeVar("Value")

#: how a session ended: an agent that still has it must drop it (refuse), or was done with it (release)
Verdict = Literal["given up", "released"]


class Bounded(Generic[Value]):
    """A dictionary that forgets the entry that was not written for longest."""

    def __init__(self, size: int = REMEMBERED) -> None:
        self._size = size
        self._entries: OrderedDict[str, Value] = OrderedDict()

    def get(self, key: str) -> Value | None:
        return self._entries.get(key)

    def put(self, key: str, value: Value) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def __len__(self) -> int:
        return len(self._entries)


@dataclass(frozen=True, kw_only=True)
class History:
    """What happened to a request in this incarnation of the bridge."""

    #: offers published, or traces met of an earlier incarnation's: the next one asks (rule 16)
    known: bool = False
    #: sessions lost with a command running (rule 20)
    lives: int = 0
