"""When Buildbot's database hears that a slot has an agent: with its first command, not before it.

`AbstractWorker.attached` has it written and reads the worker again for its event, and the build goes on after that. A
worker of Buildbot's does so when it connects, a slot for each build: some 5 ms on the way to its first command.
"""

from __future__ import annotations

from typing import Any

import structlog
from twisted.internet import defer
from twisted.python.failure import Failure

log = structlog.get_logger(__name__)

#: Seconds after which it is told of an agent that was given no command yet.
SOON = 0.5


class Seen:
    """`what`, seen with some attributes of its own."""

    def __init__(self, what: Any, **instead: Any) -> None:
        self._what = what
        self.__dict__.update(instead)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._what, name)


class Connected:
    """Of one slot's worker. `seen_by_worker` is Buildbot's master while the worker attaches or detaches."""

    def __init__(self, master: Any) -> None:
        self._master = master
        self._updates = master.data.updates
        #: what is still to be told
        self._pending: dict[str, Any] | None = None
        self._timer: Any = None
        #: fires when all is told that was begun to be told
        self._told: defer.Deferred[Any] = defer.succeed(None)

    def seen_by_worker(self) -> Any:
        updates = Seen(self._updates, workerConnected=self._connected, workerDisconnected=self._disconnected)
        return Seen(self._master, data=Seen(self._master.data, updates=updates))

    def tell(self) -> None:
        """Now, if it was not told yet."""
        kwargs = self._take()
        if kwargs is not None:
            self._told = self._updates.workerConnected(**kwargs)
            self._told.addErrback(self._failed)

    def _connected(self, **kwargs: Any) -> defer.Deferred[None]:
        self._pending = kwargs
        self._timer = self._master.reactor.callLater(SOON, self.tell)
        return defer.succeed(None)

    @defer.inlineCallbacks
    def _disconnected(self, **kwargs: Any) -> Any:
        """What was never told is not taken back."""
        if self._take() is None:
            yield self._told
            yield self._updates.workerDisconnected(**kwargs)

    def _take(self) -> dict[str, Any] | None:
        kwargs, self._pending = self._pending, None
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        return kwargs

    def _failed(self, failure: Failure) -> None:
        """The build has its agent all the same."""
        log.warning("amqp.worker_connected_not_recorded", reason=failure.getErrorMessage())
