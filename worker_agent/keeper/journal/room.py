"""Back-pressure: who produces bytes stops while too many are not stored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Room:
    """Is there room in the journal? Producers wait for it, or hear of each change."""

    def __init__(self) -> None:
        self._free = asyncio.Event()
        self._free.set()
        self._listeners: list[Callable[[], None]] = []

    @property
    def free(self) -> bool:
        return self._free.is_set()

    def set(self, free: bool) -> None:
        if free == self.free:
            return
        if free:
            self._free.set()
        else:
            self._free.clear()
        for listener in list(self._listeners):
            listener()

    async def wait_unless(self, stop: asyncio.Event) -> None:
        """Until there is room, or `stop` is set."""
        if self.free or stop.is_set():
            return
        waiting = [asyncio.ensure_future(self._free.wait()), asyncio.ensure_future(stop.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    def listen(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    def unlisten(self, listener: Callable[[], None]) -> None:
        self._listeners.remove(listener)
