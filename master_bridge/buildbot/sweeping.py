"""Takes withdrawn offers out of their queues, where no agent came for them."""

from __future__ import annotations

from typing import Any, Protocol

from contracts.messages import Offer
from contracts.timing import PARKED_TTL

#: Agents that are idle claim an offer within milliseconds, and are refused; only what is left is swept.
AFTER = 2.0
#: A command offer is run on its first delivery, so a withdrawn one goes at once.
AT_ONCE = 0.0
#: A withdrawn offer may be parked at the first look; it is back in its queue after this.
AFTER_PARKING = PARKED_TTL + 1.0


class _Broker(Protocol):
    master: Any
    link: Any
    bridge: Any
    settings: Any


class Sweeper:
    def __init__(self, broker: _Broker) -> None:
        self._broker = broker
        #: request -> signature of the queue in which its offer may still be
        self._withdrawn: dict[str, str] = {}
        self._timers: set[Any] = set()

    def later(self, request: str, signature: str, *, soon: bool) -> None:
        self._withdrawn[request] = signature
        for delay in (AT_ONCE if soon else AFTER, AFTER_PARKING):
            self._timers = {timer for timer in self._timers if timer.active()}
            self._timers.add(self._broker.master.reactor.callLater(delay, self._sweep, request, delay == AFTER_PARKING))

    def stop(self) -> None:
        for timer in self._timers:
            if timer.active():
                timer.cancel()

    def forget(self, request: str) -> None:
        """It is wanted again."""
        self._withdrawn.pop(request, None)

    def _sweep(self, request: str, last: bool) -> None:
        signature = self._withdrawn.get(request)
        if signature is not None and self._broker.link is not None:
            self._broker.link.sweep(signature, self._is_stale)
        if last:
            self._withdrawn.pop(request, None)

    def _is_stale(self, offer: Offer) -> bool:
        settings, bridge = self._broker.settings, self._broker.bridge
        return (
            settings is not None
            and offer.master == settings.master
            and offer.request in self._withdrawn
            and bridge is not None
            and offer.request not in bridge.clients
        )
