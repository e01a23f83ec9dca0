"""What a slot changes of Buildbot's latent workers beyond what their subclasses are documented to change.

Source: worker/latent.py `AbstractLatentWorker`; worker/base.py `AbstractWorker.attached`, `detached`, `_update_paused`,
`_update_graceful`, `shutdownRequested`, `unpause`, `reconfigServiceWithSibling`, `stopService`; util/__init__.py
`ComparableMixin`; process/builder.py `_find_wfb_by_worker`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from buildbot.worker.latent import AbstractLatentWorker, States
from twisted.internet import defer
from twisted.python.failure import Failure

from master_bridge.buildbot.internals.connected import Seen, without_configuring, without_connections
from master_bridge.buildbot.internals.registrations import Registrations
from master_bridge.buildbot.internals.siblings import adopt, alike


class QuietLatentWorker(AbstractLatentWorker):
    """Writes to Buildbot's database only what is new, and ends a wait for its machine when it is told to."""

    #: what the database was told last; None: nothing by this process
    _told_paused: tuple[bool, str | None] | None = None
    _told_graceful: bool | None = None
    #: builders as they were after the last reconfig that this worker was carried through; None: there was none
    _served: Sequence[Any] | None = None
    #: a build has ended, and the worker is about to look for the next one without its machine
    _looks_later = False
    #: by a graceful stop
    _out_of_service = False
    #: the master as Buildbot's own code sees it while an agent is attached or detached, and while the master stops
    _seen_master: Any = None

    def __eq__(self, other: object) -> bool:
        """As Buildbot does, but names first, where it compares all settings at once. Of a thousand workers, a
        master that stops looks for each among all of them."""
        if self is other:
            return True
        if not isinstance(other, AbstractLatentWorker) or self.name != other.name:
            return False
        return bool(super().__eq__(other))

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def waits_for_machine(self) -> bool:
        """Buildbot has asked for a machine and waits until it is there."""
        return bool(self.state == States.SUBSTANTIATING_STARTING)

    @property
    def rests(self) -> bool:
        """It has no machine and waits for none."""
        return self.conn is None and self.state in (States.NOT_SUBSTANTIATED, States.SHUT_DOWN)

    def cannot_substantiate(self, failure: Failure) -> None:
        """The build ends as EXCEPTION, with the failure in its preparation step."""
        self._substantiation_failed(failure)

    def end_wait(self, failure: Failure) -> None:
        """The build's request waits for a worker again; the preparation step shows the failure."""
        self._fireSubstantiationNotifier(failure)
        self.finish_before_stop(self.insubstantiate())

    def finish_before_stop(self, work: defer.Deferred[Any]) -> None:
        """Buildbot waits for it before this worker is stopped."""
        self._deferwaiter.add(work)

    # -- a reconfig ---------------------------------------------------------------------------------------------------

    def reconfigServiceWithSibling(self, sibling: Any) -> Any:
        """Called in each reconfig, after the builders' part of it; most say nothing new to a worker."""
        known = Registrations.of(self.master.botmaster)
        builders = known.builders(self.name)
        if self.building or not alike(self, sibling) or not known.unchanged(self, builders, self._served):
            return self._reconfigure(sibling, builders)
        adopt(self, sibling)
        self.guard(builders)
        return defer.succeed(None)

    @defer.inlineCallbacks
    def _reconfigure(self, sibling: Any, builders: Sequence[Any]) -> Any:
        self._served = None
        yield super().reconfigServiceWithSibling(sibling)
        adopt(self, sibling)
        yield self.reconfigured()
        self._served = builders

    def reconfigured(self) -> Any:
        """Called by a reconfig that may have changed this worker, or its builders, or that finds it with a build."""

    def guard(self, builders: Iterable[Any]) -> None:
        """Called by each reconfig, which gives its builders new functions."""

    # -- an agent comes and goes --------------------------------------------------------------------------------------

    @property
    def master(self) -> Any:
        return self._seen_master or super().master

    @property
    def botmaster(self) -> Any:
        """Buildbot's; while an agent is being attached for a build, and in `buildFinished`, one that looks for no
        further build.

        `AbstractWorker.attached` asks for that: some three database calls for each builder of the column, at the very
        moment at which a build starts. It would be in vain, since a slot runs one build at a time; when the build has
        ended Buildbot asks again.
        """
        botmaster = super().botmaster
        if not (self.waits_for_machine or self._looks_later):
            return botmaster
        return Seen(botmaster, maybeStartBuildsForWorker=lambda worker_name: None)

    def attached(self, conn: Any) -> Any:
        return self._with_seen_master(super().attached, conn)

    def detached(self) -> Any:
        return self._with_seen_master(super().detached)

    def _with_seen_master(self, work: Any, *args: Any) -> Any:
        """Buildbot's `attached` and `detached` ask for the master before they wait for anything of it."""
        before, self._seen_master = self._seen_master, without_connections(self.master)
        try:
            return work(*args)
        finally:
            self._seen_master = before

    def buildFinished(self, wfb: Any) -> None:
        """Buildbot looks for the worker's next build twice: here, and when `insubstantiate` has let the machine go.

        Each look asks the database three times for each builder of the column. The first one is left out where the
        second is sure to come: it is begun in the next turn of the reactor, and needs none but this worker's lock.
        """
        self._looks_later = self.state == States.SUBSTANTIATED and self.build_wait_timeout == 0 and not self.building
        try:
            super().buildFinished(wfb)
        finally:
            self._looks_later = False

    # -- the master stops ---------------------------------------------------------------------------------------------

    @defer.inlineCallbacks
    def stopService(self) -> Any:
        if not self.master.running:
            self._seen_master = without_configuring(self.master)
        try:
            yield super().stopService()
        finally:
            self._seen_master = None

    # -- Buildbot's worker page ---------------------------------------------------------------------------------------

    def shutdownRequested(self) -> None:
        """Graceful stop: no new build for this slot until it is unpaused or the master restarted.

        The agent itself goes on: it serves other slots and other masters. `master-bridge drain` stops agents.
        """
        self._out_of_service = True
        self._update_graceful()

    def unpause(self) -> None:
        """Takes back a graceful stop, too."""
        if self._out_of_service:
            self._out_of_service = False
            self._update_graceful()
        super().unpause()

    @property
    def _graceful(self) -> bool:
        return self._out_of_service

    @_graceful.setter
    def _graceful(self, value: bool) -> None:
        """Not by Buildbot, which ends a graceful stop when a worker connects: a slot does so with each build."""

    # Buildbot writes both at each attach, which here is each build: two commits and two events that say nothing new.

    def _update_paused(self) -> None:
        state = (self._paused, self._pause_reason)
        if state != self._told_paused:
            self._told_paused = state
            super()._update_paused()

    def _update_graceful(self) -> None:
        if self._graceful != self._told_graceful:
            self._told_graceful = self._graceful
            super()._update_graceful()
