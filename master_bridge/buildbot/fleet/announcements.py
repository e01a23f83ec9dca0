"""What this master tells the fleet of itself, and when: the signatures of its columns, and what its requests do."""

from __future__ import annotations

import time
from typing import Any

import structlog
from twisted.internet import defer

from contracts.messages import Catalogue
from master_bridge.buildbot.fleet import catalogue, overview
from master_bridge.buildbot.fleet.retiring import RetiredSignatures
from master_bridge.core.inputs import Declared, StatusesWanted

log = structlog.get_logger(__name__)

#: Seconds from a configured worker to the catalogue: all workers of a reconfig come within one.
CATALOGUE_SOON = 0.2


class Announcements:
    """Of the service `broker`; while its link is down nothing is told."""

    def __init__(self, broker: Any) -> None:
        self._broker = broker
        self._retired = RetiredSignatures()
        self._soon: Any = None
        #: which bridge was told how often statuses are wanted, and that (seconds)
        self._wanted: tuple[str, int] | None = None

    @defer.inlineCallbacks
    def begin(self) -> Any:
        """Remember the columns of the master's former life: their queues are there."""
        self._retired.remember((yield self._broker.getState("signatures", ())))

    def end(self) -> None:
        if self._soon is not None and self._soon.active():
            self._soon.cancel()

    def columns_changed(self) -> None:
        """Tell the fleet, once for all workers of one reconfig, and for all agents that come at a time."""
        if self._soon is None or not self._soon.active():
            self._soon = self._broker.master.reactor.callLater(CATALOGUE_SOON, self.publish_catalogue)

    def publish_catalogue(self) -> None:
        """Tell agents for which signatures this master has columns; the link declares those queues first."""
        link, bridge, settings = self._broker.link, self._broker.bridge, self._broker.settings
        if link is None or bridge is None or settings is None or not link.up:
            return
        signatures = catalogue.signatures(self._broker.master, bridge.clients.values())
        link.publish_catalogue(
            Catalogue(
                master=settings.master,
                incarnation=bridge.incarnation,
                signatures=tuple(sorted(signatures)),
                now=time.time(),
            )
        )
        self._retire(signatures).addErrback(
            lambda failure: log.error("amqp.queue_retirement_failed", reason=str(failure))
        )

    def publish_work(self) -> None:
        """Tell those who ask what this master's requests do."""
        link, bridge, settings = self._broker.link, self._broker.bridge, self._broker.settings
        if link is not None and bridge is not None and settings is not None and link.up:
            feed = self._broker.page.feed
            link.publish_work(
                overview.work(
                    bridge.machine, settings.master, bridge.incarnation, bridge.wall, feed.expected, feed.held_back
                )
            )

    def want_statuses(self) -> None:
        """Let the next `alive` say how often this master wants to be told what agents are (rule 27)."""
        bridge = self._broker.bridge
        if bridge is not None:
            wanted = bridge.incarnation, self._broker.fleet.status_every(time.monotonic())
            if wanted != self._wanted:
                self._wanted = wanted
                bridge.feed(StatusesWanted(every=wanted[1]))

    @defer.inlineCallbacks
    def _retire(self, signatures: set[str]) -> Any:
        """Delete the queues of columns that are gone, once they are empty and no other master wants them."""
        link, fleet, own = self._broker.link, self._broker.fleet, self._broker.settings.master
        now, before = time.monotonic(), set(self._retired.known)
        self._retired.update(signatures, now)
        if self._broker.bridge is not None:
            self._broker.bridge.feed(Declared(signatures=frozenset(self._retired.known)))
        for signature in self._retired.due(now, lambda it: fleet.other_masters_want(it, own, now)):
            if (yield link.delete_empty(signature)) and signature in self._retired.known:
                log.info("amqp.queue_deleted", signature=signature, detail="its column is gone")
                self._retired.deleted(signature)
        if self._retired.known != before:
            yield self._broker.setState("signatures", sorted(self._retired.known))
