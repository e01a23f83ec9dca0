"""A program on a terminal of its own: what it draws is read off a screen in memory."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence

import pyte

#: Sequences that pyte takes for text: those with a private mark that it does not know.
_UNKNOWN = re.compile(
    rb"\x1b\[[<>=][0-9;]*[a-zA-Z]|\x1b\[\?[0-9;]*\$p|\x1b_[^\x1b]*\x1b\\|\x1b\[[0-9;]*\x20q|\x1bP[^\x1b]*\x1b\\"
)


class Terminal:
    """Of `columns` by `lines`. `sent`: all bytes that the program wrote."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], columns: int = 80, lines: int = 24
    ) -> None:
        self._main, child = pty.openpty()
        self.sent = b""
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._size(child, columns, lines)
        self.process = subprocess.Popen(
            command, stdin=child, stdout=child, stderr=child, env={"TERM": "xterm-256color", **environment},
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0) and None,
        )  # fmt: skip
        os.close(child)

    @property
    def text(self) -> list[str]:
        """Lines of the screen, as they are now."""
        return [line.rstrip() for line in self._screen.display]

    def resize(self, columns: int, lines: int) -> None:
        self._screen.resize(lines, columns)
        self._size(self._main, columns, lines)

    def press(self, keys: str) -> None:
        os.write(self._main, keys.encode())

    def read(self, seconds: float = 0.1) -> bool:
        """What the program has written meanwhile; False when it has closed its terminal."""
        if not select.select([self._main], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self._main, 1 << 16)
        except OSError:
            return False
        self.sent += data
        self._stream.feed(_UNKNOWN.sub(b"", data))
        return True

    def until(self, condition: Callable[[list[str]], bool], what: str, seconds: float = 60) -> list[str]:
        """Wait until the screen is so."""
        deadline = time.monotonic() + seconds
        while not condition(self.text):
            assert time.monotonic() < deadline, f"waited {seconds:g} s for: {what}\n" + "\n".join(self.text)
            if not self.read() and not condition(self.text):
                raise AssertionError(f"it ended before: {what}\n" + "\n".join(self.text))
        return self.text

    def end(self, seconds: float = 60) -> int:
        """Its exit status; all that it writes before is read."""
        deadline = time.monotonic() + seconds
        while self.read():
            assert time.monotonic() < deadline, "it does not end\n" + "\n".join(self.text)
        return self.process.wait(seconds)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._main)

    @staticmethod
    def _size(descriptor: int, columns: int, lines: int) -> None:
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
