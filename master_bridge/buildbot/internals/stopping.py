"""What a stopping master means for a session. Source: buildbot/process/botmaster.py `cleanShutdown`.

`buildbot stop` is a quick stop: it interrupts what runs, marks the builds RETRY and runs their requests again at the
next start. The agents' sessions are kept for that; a completed command would make the build CANCELLED instead.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

import structlog
from buildbot.process.results import RETRY

log = structlog.get_logger(__name__)


def in_quick_stop(master: Any) -> bool:
    """A clean stop sets `shuttingDown`, too, but leaves the distributor running; there a user's Stop is real."""
    botmaster = master.botmaster
    return bool((botmaster.shuttingDown and not botmaster.brd.running) or not master.running)


def waited_for(build: Any) -> bool:
    """Another build triggered it and waits: Buildbot cancels such builds in a quick stop, it does not repeat them."""
    return any(request.waitedFor for request in build.requests)


def keeps_session(master: Any, build: Any) -> bool:
    """Will Buildbot run the build's request again after its restart, and so ask for this session?"""
    if not in_quick_stop(master) or waited_for(build):
        return False
    return not build.finished or build.results == RETRY


class QuickStop:
    """Calls `begun` in the moment in which a quick stop begins, before anything more can happen to a build.

    Buildbot interrupts each build's step and marks the build RETRY afterwards. A step that is just being made (between
    two steps) has no id and cannot be interrupted: its build is not marked, and both end as CANCELLED, never to run
    again. A build whose connection is lost is RETRY in any case, so that is what `begun` sees to.
    Source: process/build.py `stopBuild`, `stepDone`; process/buildstep.py `_interrupt_impl`, `addCompleteLog`.
    """

    def __init__(self, master: Any, begun: Callable[[], None]) -> None:
        self._master = master
        self._begun = begun
        self._before: Any = None
        # The master holds this lock while it starts, and takes SIGTERM (`buildbot stop`) for itself last of all.
        master.initLock.run(self._listen).addErrback(
            lambda failure: log.error("amqp.sigterm_handler_failed", reason=str(failure))
        )

    def _listen(self) -> None:
        if threading.current_thread() is threading.main_thread():  # no other may ask for signals, or gets any
            self._before = signal.getsignal(signal.SIGTERM)
            signal.signal(signal.SIGTERM, self._asked)

    def _asked(self, number: int, frame: Any) -> None:
        self._master.reactor.callFromThread(self._look)
        if callable(self._before):
            self._before(number, frame)

    def _look(self) -> None:
        if in_quick_stop(self._master):
            self._begun()
        else:  # it waits for its scheduling to come to rest first
            self._master.reactor.callLater(0, self._look)

    def forget(self) -> None:
        if self._before is not None and signal.getsignal(signal.SIGTERM) == self._asked:
            signal.signal(signal.SIGTERM, self._before)
