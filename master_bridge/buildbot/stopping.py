"""What a stopping master means for a session. Source: buildbot/process/botmaster.py `cleanShutdown`.

`buildbot stop` is a quick stop: it interrupts what runs, marks the builds RETRY and runs their requests again at the
next start. The agents' sessions are kept for that; a completed command would make the build CANCELLED instead.
"""

from __future__ import annotations

from typing import Any

from buildbot.process.results import RETRY


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
