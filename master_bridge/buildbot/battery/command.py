"""A shard's remote command: what it prints and its report are kept here, bounded, and not in a log of their own."""

from __future__ import annotations

from typing import Any

from buildbot.process.remotecommand import RemoteShellCommand
from twisted.internet import defer

from master_bridge.buildbot.battery.reports import REPORT_MAX

#: Name of the report among the command's log files.
REPORT = "report"
#: Characters of what a shard printed that are kept from its beginning, and from its end.
HEAD_MAX = 64 * 1024
TAIL_MAX = 192 * 1024


class Printed:
    """The beginning and the end of a text that comes in pieces."""

    def __init__(self) -> None:
        self._head: list[str] = []
        self._head_size = 0
        self._tail = ""
        self._left_out = 0

    def add(self, text: str) -> None:
        room = max(0, HEAD_MAX - self._head_size)
        if room:
            self._head.append(text[:room])
            self._head_size += len(text[:room])
        tail = self._tail + text[room:]
        self._left_out += max(0, len(tail) - TAIL_MAX)
        self._tail = tail[-TAIL_MAX:]

    @property
    def text(self) -> str:
        gap = f"\n… {self._left_out} characters …\n" if self._left_out else ""
        return "".join(self._head) + gap + self._tail


class ShardCommand(RemoteShellCommand):
    """`printed`: standard output and standard error; `report`: its text; None: it is longer than may be."""

    def __init__(self, *, title: str, **settings: Any) -> None:
        """`title`: what Buildbot writes into its own log instead of the command with all its units."""
        super().__init__(**settings)
        self.fake_command = title
        self.printed = Printed()
        self._report: list[str] = []
        self._report_size = 0

    @property
    def report(self) -> str | None:
        return "".join(self._report) if self._report_size <= REPORT_MAX else None

    def add_stdout_lines(self, data: str, is_flushed: bool) -> defer.Deferred[None]:
        self.printed.add(data)
        return defer.succeed(None)

    add_stderr_lines = add_stdout_lines

    def add_header_lines(self, data: str) -> defer.Deferred[None]:
        return defer.succeed(None)

    def addHeader(self, data: str) -> defer.Deferred[None]:
        return defer.succeed(None)

    def addToLog(self, logname: str, data: str) -> defer.Deferred[None]:
        self._report_size += len(data)
        if self._report_size <= REPORT_MAX:
            self._report.append(data)
        else:
            self._report.clear()
        return defer.succeed(None)
