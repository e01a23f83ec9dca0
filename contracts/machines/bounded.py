"""A dictionary with room for so many entries, so that nothing that others say fills a core's memory."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from itertools import islice
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


#: Of so many entries one more is forgotten, where one has to be: a dictionary goes over all that was taken out at its
#: beginning to find its first entry, which made a `put` of 20,000 ten times as dear. (An `OrderedDict` has its first
#: one at hand, and 80 bytes more for each.)
_AT_ONCE = 64


class Bounded(Generic[Key, Value]):
    """At most `size` entries: those that were not written for longest are forgotten first, one of 64 at once."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: dict[Key, Value] = {}  # the oldest first

    def put(self, key: Key, value: Value) -> None:
        """Write it; it is the youngest then."""
        self._entries.pop(key, None)
        self._entries[key] = value
        if len(self._entries) > self._size:
            for oldest in list(islice(self._entries, 1 + self._size // _AT_ONCE)):
                del self._entries[oldest]

    def get(self, key: Key) -> Value | None:
        """None: it is not there, or forgotten."""
        return self._entries.get(key)

    def discard(self, key: Key) -> bool:
        """True: it was there."""
        there = key in self._entries
        self._entries.pop(key, None)
        return there

    def values(self) -> Iterator[Value]:
        """The oldest first."""
        return iter(self._entries.values())

    def __iter__(self) -> Iterator[Key]:
        return iter(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __len__(self) -> int:
        return len(self._entries)
