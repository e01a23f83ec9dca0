"""A dictionary with room for so many entries, so that nothing that others say fills a core's memory."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Bounded(Generic[Key, Value]):
    """At most `size` entries: the one that was not written for longest is forgotten first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: dict[Key, Value] = {}  # the oldest first

    def put(self, key: Key, value: Value) -> None:
        """Write it; it is the youngest then."""
        self._entries.pop(key, None)
        self._entries[key] = value
        if len(self._entries) > self._size:
            del self._entries[next(iter(self._entries))]

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
