"""Ctrl-C while commands run: noted, so that it breaks no connection in the middle of a message."""

from __future__ import annotations

import signal
import threading
from types import TracebackType
from typing import Any


class Interrupts:
    """Counts SIGINT within a `with`, where Python would raise `KeyboardInterrupt`; else it is left as it is.

    The third one raises at once.
    """

    def __init__(self) -> None:
        self.count = 0
        self._before: Any = None

    def __enter__(self) -> Interrupts:
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._came)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _came(self, _number: int, _frame: Any) -> None:
        self.count += 1
        if self.count > 2:
            raise KeyboardInterrupt
