"""A command's output on its way into Buildbot's logs: decoded, in whole lines, in large pieces.

Measured: Buildbot stores 16 to 24 MB/s in pieces of 1 MiB and 4 to 5 MB/s in pieces of 64 KiB, since each update is a
database transaction and an event. So what comes while an update is stored goes into the next one.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from itertools import groupby
from operator import itemgetter
from typing import Any

from twisted.internet import defer

from contracts.messages import Event
from master_bridge.buildbot.output.lines import HELD_MAX, UNREAD_MAX, Lines
from master_bridge.buildbot.output.redaction import Redactor, Secrets

#: Bytes after which collected output is stored at once.
PIECE = 1024 * 1024
#: Seconds between two updates of a command that prints little at a time: people see it grow, the database can breathe.
INTERVAL = 0.15
#: Seconds for which output waits for the end of its command: a short command's start, output and end are then stored
#: together. Each update is five calls of Buildbot's database and two commits, some 7 ms; `true` takes 5 to 15 ms from
#: its header to its completion.
HOLD = 0.03
#: Kinds of events that are output.
OUTPUT = frozenset({"stdout", "stderr", "header", "log"})


class CommandLog:
    """Output of one command. `add` collects, `flush` stores; the caller awaits each flush before the next.

    `update(key, value)` is Buildbot's `RemoteCommand.remoteUpdate` for whole lines, of which the last may lack its line
    end; `secrets` are kept out of it; `is_read(stream)`: does somebody read whole lines there ("log:name" for a file)?
    """

    def __init__(
        self,
        encoding: str,
        update: Callable[[str, Any], defer.Deferred[Any]],
        secrets: Secrets = dict,
        is_read: Callable[[str], bool] = lambda _stream: True,
    ) -> None:
        self._secrets = secrets
        self._is_read = is_read
        self._redactors: dict[str, Redactor] = {}
        self._decoders: dict[str, codecs.IncrementalDecoder] = {}
        self._encoding = encoding
        self._lines: dict[str, Lines] = {}
        self._update = update
        #: what is to be stored, in order: (stream, bytes), or None where all last lines end
        self._collected: list[tuple[str, bytearray] | None] = []
        self.size = 0
        #: the command has printed something: there was more than headers, which are the worker's
        self.printed = False

    def add(self, event: Event) -> None:
        """Output of a command, in order."""
        self.printed = self.printed or event.kind != "header"
        self._add(f"log:{event.value}" if event.kind == "log" else event.kind, event.data)

    def end_lines(self, header: str) -> None:
        """The process has ended: last lines are complete as they are; `header` comes below them."""
        self._collected.append(None)
        self._add("header", header.encode())

    def _add(self, stream: str, data: bytes) -> None:
        last = self._collected[-1] if self._collected else None
        if last is not None and last[0] == stream:
            last[1].extend(data)
        else:
            self._collected.append((stream, bytearray(data)))
        self.size += len(data)

    @defer.inlineCallbacks
    def flush(self) -> Any:
        """Store all whole lines collected so far, in the order in which the streams were written.

        Lines of one stream that come one after the other are one update, whatever lay between them.
        """
        collected, self._collected, self.size = self._collected, [], 0
        lines: list[tuple[str, str]] = []
        for piece in collected:
            lines += self._last_lines() if piece is None else [self._whole_lines(*piece)]
        for stream, parts in groupby((line for line in lines if line[1]), key=itemgetter(0)):
            yield self._store(stream, "".join(text for _, text in parts))

    @defer.inlineCallbacks
    def finish(self) -> Any:
        """Store everything, last lines without a line end too."""
        self._collected.append(None)
        yield self.flush()

    def _whole_lines(self, stream: str, data: bytearray) -> tuple[str, str]:
        text = self._redactor(stream).feed(self._decoder(stream).decode(bytes(data)))
        return stream, self._splitter(stream).append(text, HELD_MAX if self._is_read(stream) else UNREAD_MAX)

    def _last_lines(self) -> list[tuple[str, str]]:
        last = []
        for stream in sorted(self._lines):
            redactor = self._redactor(stream)
            rest = redactor.feed(self._decoder(stream).decode(b"", final=True)) + redactor.flush()
            whole = self._splitter(stream).append(rest) if rest else ""
            whole += self._splitter(stream).flush()
            if stream == "header" and whole and not whole.endswith("\n"):
                whole += "\n"  # the next header is no continuation of it
            last.append((stream, whole))
        return last

    def _store(self, stream: str, lines: str) -> defer.Deferred[Any]:
        if stream.startswith("log:"):
            return self._update("log", (stream[4:], lines))
        return self._update(stream, lines)

    def _redactor(self, stream: str) -> Redactor:
        return self._redactors.setdefault(stream, Redactor(self._secrets, self._encoding))

    def _splitter(self, stream: str) -> Lines:
        return self._lines.setdefault(stream, Lines())

    def _decoder(self, stream: str) -> codecs.IncrementalDecoder:
        if stream not in self._decoders:
            # headers are the worker's own text; what a command prints has the machine's encoding
            encoding = "utf-8" if stream == "header" else self._encoding
            self._decoders[stream] = codecs.getincrementaldecoder(encoding)(errors="replace")
        return self._decoders[stream]
