"""A proxy before a broker that keeps chosen connections waiting, and can reset the others meanwhile."""

from __future__ import annotations

import asyncio

from tests.faults.laboratory.proxy import Pair, Proxy


class Gate(Proxy):
    """Connection number `held` (from 1) is taken and gets no answer before `release`; the others pass."""

    def __init__(self, target: int, held: int) -> None:
        self._held = held
        self._pair: Pair | None = None
        self._released = asyncio.Event()
        super().__init__(target)

    @property
    def holds(self) -> bool:
        """The connection that is to be held has come."""
        return self._pair is not None

    async def _connect(self, pair: Pair) -> None:
        if self.accepted == self._held and self._pair is None:
            self._pair = pair
            await self._released.wait()
        await super()._connect(pair)

    def reset_the_others(self) -> None:
        """Of the connections so far."""
        self._do(self._abort_the_others)

    def _abort_the_others(self) -> None:
        for pair in list(self._pairs):
            if pair is not self._pair:
                pair.abort()

    def release(self) -> None:
        self._do(self._released.set)
