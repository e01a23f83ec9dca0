"""All that makes Buildbot call its database less often, and changes nothing that is stored.

It does in Buildbot's place what Buildbot does, as it was read in its sources, so it is only for releases of which that
is known. Another one, which pip may install, works as it does without it, and the log says so.
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import structlog

from master_bridge.buildbot.internals.appended_logs import AppendedLogs
from master_bridge.buildbot.internals.build_properties import BuildProperties
from master_bridge.buildbot.internals.unheard_events import UnheardEvents
from master_bridge.buildbot.internals.waiting_builders import WaitingBuilders

log = structlog.get_logger(__name__)

#: Releases of Buildbot whose sources were read for this.
READ = ("4.2", "4.3")
_RELEASE = re.compile(r"([0-9]+\.[0-9]+)(?:\.[0-9]+)*(?:\.post[0-9]+)?")


class FewerCalls:
    """Of one master: `keep`, and `release` before its database is closed."""

    def __init__(self) -> None:
        self._parts = (AppendedLogs(), BuildProperties(), UnheardEvents(), WaitingBuilders())

    def keep(self, master: Any) -> None:
        """Until `release`; no more than once."""
        installed = _installed()
        if not is_read(installed):
            log.warning(
                "amqp.buildbot_unknown",
                version=installed,
                detail=f"its database is called as often as it does by itself: known are {' and '.join(READ)}",
            )
            return
        for part in self._parts:
            part.keep(master)

    def release(self) -> None:
        """Buildbot's own way from now on."""
        for part in self._parts:
            part.release()


def _installed() -> str:
    try:
        return version("buildbot")
    except PackageNotFoundError:  # run from a folder of sources
        return "not installed"


def is_read(release: str) -> bool:
    """Is it a release of `READ`? What comes between two releases is in neither of them.

    >>> [is_read(release) for release in ("4.2.0", "4.3.1", "4.3.1.dev7", "4.30.0", "999.0-version-not-found")]
    [True, True, False, False, False]
    """
    found = _RELEASE.fullmatch(release)
    return found is not None and found[1] in READ
