"""The whole lines of one of a command's logs, as they are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from buildbot.interfaces import ILogObserver
from zope.interface import implementer

#: Lengths of a line that Buildbot's own worker or master has cut (`max_line_length` in
#: buildbot_worker/util/lineboundaries.py, which loses some of what follows, and buildbot/util/lineboundaries.py).
CUT = (4095, 4096)


@implementer(ILogObserver)
class LineListener:
    """Tells each line of standard output, or of a log file, to `take`."""

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take

    def setStep(self, _step: Any) -> None:
        """Part of the interface; this needs no step."""

    def setLog(self, log: Any) -> None:
        log.subscribe(self._received)

    def _received(self, stream: str | None, data: str | None) -> None:
        """Buildbot tells whole lines only; the last one of a log may lack its line end."""
        if data is not None and stream in (None, "o"):
            for line in data.removesuffix("\n").split("\n"):
                self._take(line)
