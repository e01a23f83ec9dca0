"""A bridge without Buildbot: the real machine and the real link, and a client that takes an agent and lets it go.

`python -m benchmarks.stand.bridge_process URL MASTER [classic|quorum [SECRET]]` reads orders and prints answers, a
line of JSON each: {"seek": count, "signatures": [...], "at_once": n, "pause": s} asks for `count` sessions, at most
`at_once` at a time and `pause` seconds after one has ended for the next, and answers when all were claimed, granted,
accepted and released: seconds, latencies (ms), CPU seconds. With "keep": n the last n sessions go on, and the next is
asked for when one was accepted; with "hold": true all go on. With "rate": r the requests come at r a second, whatever
became of those before, and "asked_to_accept" has what each took (ms) from when it was due. "run" is the number of all
their builds. SECRET (hexadecimal) is what tickets are made with: another process with it, and with the same orders from
its start on, adopts those sessions.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import deque
from typing import Any
from urllib.parse import urlsplit

from twisted.internet import defer, reactor, stdio
from twisted.protocols.basic import LineOnlyReceiver

from contracts import timing
from contracts.messages import Catalogue, Claim
from contracts.rabbitmq.arguments import QueueType
from contracts.topology import key_word
from contracts.trust.tickets import SECRET_BYTES, Tickets
from master_bridge.buildbot.bridge import Bridge
from master_bridge.core import inputs
from master_bridge.core.actions import Holder
from master_bridge.link.amqp.link import Link
from master_bridge.link.settings import LinkSettings

#: Messages of offers and claims are noted as they pass; all else is the product's own code.


class Asked:
    """One request's client: done as soon as an agent has accepted."""

    #: what comes of its session is dropped
    session = None

    def __init__(self, run: Run, request: str, signature: str) -> None:
        self.run = run
        self.request = request
        self.signature = signature

    def state_changed(self, state: str) -> None: ...

    def attach(self, holder: Holder, adopted: bool) -> None:
        self.run.attached(self)

    def lost(self, reason: str) -> None:
        self.run.failed(f"{self.request} was lost: {reason}")

    def abandoned(self, reason: str) -> None:
        self.run.failed(f"{self.request} was abandoned: {reason}")

    def cancelled_earlier(self, reason: str) -> None: ...

    def quick_stop(self) -> None: ...

    def refresh(self) -> None: ...


class NotingBridge(Bridge):
    """Notes when claims come in."""

    claimed: dict[str, float]

    def message_received(self, delivery: int, message: Any, user: str, size: int) -> None:
        if isinstance(message, Claim):
            self.claimed.setdefault(message.request, time.monotonic())
        super().message_received(delivery, message, user, size)


class NotingLink(Link):
    """Notes when offers go out."""

    offered: dict[str, float]

    def publish_offer(self, offer: Any, priority: int = 0) -> None:
        self.offered.setdefault(offer.request, time.monotonic())
        super().publish_offer(offer, priority)


class Run(LineOnlyReceiver):
    """Orders in, answers out."""

    delimiter = b"\n"
    MAX_LENGTH = 1_000_000

    def __init__(self, url: str, master: str, queue_type: QueueType, secret: bytes) -> None:
        self._ready = False
        self._run = 1
        #: sessions that go on
        self._kept: deque[Asked] = deque()
        self._keep = 0
        self._numbers = 0
        self._waiting: list[tuple[str, str]] = []
        self._left = 0
        self._pause = 0.0
        self._began = 0.0
        self._cpu = 0.0
        self._accepted: dict[str, float] = {}
        #: request -> when it was to be asked for, where that has a rate
        self._due: dict[str, float] = {}
        self.bridge = NotingBridge(
            reactor=reactor, master=master, user=key_word(urlsplit(url).username or ""),
            tickets=Tickets(secret, master=master), grace=timing.GRACE,
            check=lambda request: defer.succeed(False),
            on_link=self._link, on_fleet=lambda message: None, on_stopped=self.failed,
        )  # fmt: skip
        self.bridge.claimed = {}
        self.link = NotingLink(reactor, LinkSettings(url=url, master=master, queue_type=queue_type), self.bridge)
        self.link.offered = {}
        self.bridge.link = self.link
        self.link.start()

    def _link(self, up: bool) -> None:
        if up and not self._ready:
            self._ready = True
            self._answer({"ready": True})

    def lineReceived(self, line: bytes) -> None:
        order = json.loads(line)
        signatures = order["signatures"]
        if order.get("declare"):
            self.link.ensure_queues(signatures, then=lambda: self._declared(signatures))
            return
        for times in (self.bridge.claimed, self.link.offered, self._accepted):
            times.clear()
        count = self._left = order["seek"]
        self._waiting = [(f"r-{self._numbers + i}", signatures[i % len(signatures)]) for i in range(count)]
        self._waiting.reverse()
        self._pause = order.get("pause", 0.0)
        self._run = order.get("run", 1)
        self._keep = count if order.get("hold") else order.get("keep", 0)
        self._numbers += count
        self._began, self._cpu = time.monotonic(), time.process_time()
        self._due.clear()
        if "rate" in order:
            self._at_rate(order["rate"])
            return
        for _ in range(min(count, order["at_once"])):
            self._seek()

    def _at_rate(self, rate: float) -> None:
        """All that are due by now, then again: a reactor that is late must not ask for less."""
        now = time.monotonic()
        while self._waiting and (due := self._began + len(self._due) / rate) <= now:
            self._due[self._waiting[-1][0]] = due
            self._seek()
        if self._waiting:
            reactor.callLater(max(0.0, self._began + len(self._due) / rate - now), self._at_rate, rate)

    def _declared(self, signatures: list[str]) -> None:
        self.link.publish_catalogue(
            Catalogue(master=self.link._settings.master, incarnation=self.bridge.incarnation, signatures=signatures)
        )
        self._answer({"declared": True})

    def _seek(self) -> None:
        request, signature = self._waiting.pop()
        self.bridge.seek(
            Asked(self, request, signature),
            inputs.Seek(request=request, run=self._run, kind="build", signature=signature, builddir="b", title=request),
        )

    def attached(self, asked: Asked) -> None:
        self._accepted[asked.request] = time.monotonic()
        self._kept.append(asked)
        reactor.callLater(0, self._leave)

    def _leave(self) -> None:
        """One was accepted: the oldest beyond those that are kept is over."""
        if len(self._kept) > self._keep:
            asked = self._kept.popleft()
            self.bridge.leave(asked, inputs.Done(request=asked.request))
        self._left -= 1
        if self._waiting and not self._due:
            reactor.callLater(self._pause, self._seek)
        elif not self._left:
            offered, claimed = self.link.offered, self.bridge.claimed
            first = min(offered.values(), default=self._began)
            self._answer(
                {
                    "seconds": max(self._accepted.values()) - first,
                    "cpu": time.process_time() - self._cpu,
                    "offer_to_claim": [
                        1000 * (claimed[request] - at) for request, at in offered.items() if request in claimed
                    ],
                    "claim_to_accept": [
                        1000 * (self._accepted[request] - at)
                        for request, at in claimed.items()
                        if request in self._accepted
                    ],
                    "asked_to_accept": [1000 * (self._accepted[request] - at) for request, at in self._due.items()],
                }
            )

    def failed(self, reason: str) -> None:
        self._answer({"failed": reason})

    def _answer(self, answer: dict[str, Any]) -> None:
        # by the transport: it has made the pipe non-blocking, where a long line would be cut
        self.sendLine(json.dumps(answer).encode())


def main() -> None:
    url, master, *more = sys.argv[1:]
    secret = bytes.fromhex(more[1]) if len(more) > 1 else os.urandom(SECRET_BYTES)
    stdio.StandardIO(Run(url, master, "quorum" if more[:1] == ["quorum"] else "classic", secret))
    reactor.run()


if __name__ == "__main__":
    main()
