"""One remote command of Buildbot's while an agent runs it: events in, Buildbot's updates and completion out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from buildbot.process.remotecommand import RemoteCommand
from twisted.internet import defer
from twisted.python import log as twisted_log
from twisted.python.failure import Failure

from contracts.messages import Event
from master_bridge.buildbot.files.downloads import Content
from master_bridge.buildbot.files.transfers import write
from master_bridge.buildbot.internals.builds import used_secrets
from master_bridge.buildbot.output import storing
from master_bridge.buildbot.output.logs import OUTPUT, CommandLog
from master_bridge.buildbot.output.redaction import redact


class RunningCommand:
    """Carries one command's events to Buildbot, in order, each awaited.

    `over` becomes True when Buildbot wants no more of it: it completed, failed here, or its connection was lost.
    """

    def __init__(
        self, command: RemoteCommand, *, n: int, encoding: str, writer: Any = None, spool: Content | None = None
    ) -> None:
        self.n = n
        self.command = command
        self.over = False
        self.interrupted = False
        #: some of what it printed is stored, or on its way
        self.shown = False
        self._writer = writer
        self._spool = spool
        self._encoding = encoding
        self._log = CommandLog(
            encoding, lambda key, value: self._update(key, value), self._secrets, partial(storing.is_read, command)
        )

    @property
    def collected(self) -> int:
        """Bytes of output that are not stored yet."""
        return self._log.size

    @property
    def wanted(self) -> bool:
        return not self.over and bool(self.command.active)

    def collect(self, event: Event) -> None:
        """Output; `flush` stores it."""
        if self.wanted:
            self._log.add(event)

    def flush(self) -> defer.Deferred[Any]:
        self.shown = self._log.printed
        return self._log.flush() if self.wanted else defer.succeed(None)

    @defer.inlineCallbacks
    def handle(self, event: Event) -> Any:
        """Anything but output. Output that came before it is stored before."""
        assert event.kind not in OUTPUT
        if not self.wanted:
            return
        if event.kind == "update":
            key, value = event.value
            if key == "stat" and isinstance(value, list):
                value = tuple(value)  # as over PB; JSON knows lists only
            if key == "rc" and self._joins_texts:
                self._process_ended(value)
                return
            # the last line without a line end belongs above "program finished with exit code"
            if key == "rc":
                yield self._log.finish()
            elif not self._joins_texts:
                yield self._log.flush()
            yield self._update(key, value)
        elif event.kind in ("write", "writer"):
            yield self._log.flush()
            yield write(self._writer, event, lambda: self.wanted)
        elif event.kind == "completed":
            yield self._log.finish()
            if self._spool is not None and self.command.rc and self._spool.changed:
                yield self._update("header", "the master's file was changed while the agent read it\n")
            self.complete(None if event.value is None else str(event.value))

    @property
    def _joins_texts(self) -> bool:
        """May what `remoteUpdate("rc", …)` does be done in parts? Not for a command that does something else there.

        Nor where secrets are known: Buildbot keeps them out of output, and leaves its own text as it is.
        """
        return type(self.command).remoteUpdate is RemoteCommand.remoteUpdate and not self._secrets()

    def _process_ended(self, rc: Any) -> None:
        """As `RemoteCommand.remoteUpdate("rc", rc)`, but that its line is stored with those around it.

        For Buildbot's transaction per line (three for a `true`) is what a short step costs most.
        """
        self.command.rc = rc
        twisted_log.msg(f"{self.command} rc={rc}")
        self._log.end_lines(f"program finished with exit code {rc}\n")

    @defer.inlineCallbacks
    def say(self, text: str) -> Any:
        """A header line of the bridge's own, after all output so far."""
        if self.wanted:
            yield self._log.finish()
            yield self._update("header", f"\n{self.redacted(text)}\n")

    def complete(self, failure: str | Failure | None) -> None:
        """Tell Buildbot that the command is over; a failure makes its step an EXCEPTION."""
        if not self.over:
            self.over = True
            self.close()
            if self.command.active:
                self.command.remote_complete(self.redacted(failure) if isinstance(failure, str) else failure)

    def redacted(self, text: str) -> str:
        """`text` without the secrets of the command's build: Buildbot shows it, or it goes into a log."""
        return redact(text, self._secrets(), self._encoding)

    def read(self, offset: int, length: int) -> tuple[bytes, int] | None:
        """Part and total size of the file that this command downloads; None when there is none (any more).

        Raises `Changed` when the master's file no longer has that part.
        """
        if self._spool is None:
            return None
        return self._spool.read(offset, length), self._spool.size

    def close(self) -> None:
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def _secrets(self) -> Mapping[str, str]:
        return used_secrets(getattr(getattr(self.command, "step", None), "build", None))

    def _update(self, key: str, value: Any) -> defer.Deferred[Any]:
        if self.command.worker is not None:
            self.command.worker.messageReceivedFromWorker()
        if not self.command.active or self.command.ignore_updates:
            return defer.succeed(None)
        return storing.update(self.command, key, value)
