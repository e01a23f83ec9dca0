"""What one command says, made into events of a good size."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from worker_agent.keeper.limits import EVENT_DATA_MAX

#: Output waits this long for more, from its first byte on: fewer, larger events, and still live to a reader's eye.
COALESCE = 0.03


class Append(Protocol):
    """`runner.Listener.append`: journals one event of command `n`."""

    def __call__(self, n: int, kind: str, value: Any = None, data: bytes = b"") -> None: ...


class CommandReport:
    """Events of command `n`, in the order in which they are told. Only adjoining output of one kind is joined."""

    def __init__(self, n: int, append: Append) -> None:
        self.n = n
        self._append = append
        self._kind = ""
        self.name: str | None = None
        self._pending: list[bytes] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self.rc: int | None = None
        #: exit status of the last process that failed (negative: its signal), and whether we killed it
        self.status = 0
        self.killed = False

    @property
    def outcome(self) -> int:
        """What the command ended with, not 0 if anything in it failed."""
        return self.status or self.rc or 0

    def header(self, text: str) -> None:
        """Text of the worker itself. What cannot be UTF-8 (undecodable names) becomes "?"."""
        self._stream("header", None, text.encode("utf-8", "replace"))

    def stdout(self, data: bytes) -> None:
        self._stream("stdout", None, data)

    def stderr(self, data: bytes) -> None:
        self._stream("stderr", None, data)

    def log(self, name: str, data: bytes) -> None:
        self._stream("log", name, data)

    def update(self, key: str, value: Any) -> None:
        """Any other update of Buildbot's worker: rc, elapsed, failure_reason, stat, files."""
        if key == "rc":
            self.rc = value
        self.flush()
        self._append(self.n, "update", [key, value])

    def write(self, data: bytes) -> None:
        """Bytes of an upload, at most `FILE_DATA_MAX`."""
        self.flush()
        self._append(self.n, "write", None, data)

    def writer(self, *call: Any) -> None:
        """A call of an upload's writer: ("close",), ("unpack",) or ("utime", [atime, mtime])."""
        self.flush()
        self._append(self.n, "writer", list(call))

    def flush(self) -> None:
        """Journal what waits for more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._size:
            data = self._pending[0] if len(self._pending) == 1 else b"".join(self._pending)
            self._pending = []
            self._size = 0
            for start in range(0, len(data), EVENT_DATA_MAX):
                self._append(self.n, self._kind, self.name, data[start : start + EVENT_DATA_MAX])

    def _stream(self, kind: str, name: str | None, data: bytes) -> None:
        if not data:
            return
        if (kind, name) != (self._kind, self.name) or self._size + len(data) > EVENT_DATA_MAX:
            self.flush()
            self._kind, self.name = kind, name
        self._pending.append(data)
        self._size += len(data)
        if self._size >= EVENT_DATA_MAX:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(COALESCE, self.flush)
