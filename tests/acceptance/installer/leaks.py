"""Watches for a secret on the command line of any process of this machine."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType

#: Seconds between two looks. A process that lives shorter may be missed; the installer's own live longer.
_INTERVAL = 0.005


class CommandLines:
    """A context in which every process's command line is looked at; `leaks` are those that held the secret."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.leaks: set[str] = set()
        #: how many command lines were looked at
        self.looked = 0

    def __enter__(self) -> CommandLines:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(_INTERVAL):
            for entry in Path("/proc").iterdir():
                if not entry.name.isdigit():
                    continue
                try:
                    line = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                self.looked += 1
                if self._secret in line:
                    self.leaks.add(line.replace(b"\0", b" ").decode(errors="replace"))
