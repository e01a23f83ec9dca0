"""Output of commands on agents, on its way to a terminal, a pipe or a file."""

from __future__ import annotations

import sys
from typing import BinaryIO, Literal

from contracts.readable import shown

Stream = Literal["stdout", "stderr"]
#: Characters that one may become: \U0010ffff.
ESCAPED = 10


class ShownOutput:
    """`prefixed`: each line begins with its agent's name, and is written when it is whole.

    On a terminal characters that control it are shown as what they are. To anything else all goes as it came.
    """

    def __init__(self, *, prefixed: bool) -> None:
        self.prefixed = prefixed
        self._begun: dict[tuple[str, Stream], bytes] = {}

    def write(self, agent: str, stream: Stream, data: bytes) -> None:
        """Raises OSError."""
        if not self.prefixed:
            self._put(stream, data)
            return
        key = agent, stream
        *lines, rest = (self._begun.pop(key, b"") + data).split(b"\n")
        if rest:
            self._begun[key] = rest
        if lines:
            self._put(stream, b"".join(self._line(agent, line) for line in lines))

    def finish(self) -> None:
        """Lines without an end are written, with one. Raises OSError."""
        for (agent, stream), rest in self._begun.items():
            self._put(stream, self._line(agent, rest))
        self._begun.clear()

    @staticmethod
    def _line(agent: str, line: bytes) -> bytes:
        return f"{shown(agent)}: ".encode() + line + b"\n"

    @staticmethod
    def _put(stream: Stream, data: bytes) -> None:
        out = sys.stdout if stream == "stdout" else sys.stderr
        if out.isatty():
            data = tame(data)
        raw: BinaryIO = out.buffer
        raw.write(data)
        raw.flush()


def tame(data: bytes) -> bytes:
    """Line ends and tabs as they are, what else controls a terminal in its escaped form."""
    lines = data.decode("utf-8", "backslashreplace").split("\n")
    return "\n".join(_tame_line(line.removesuffix("\r")) for line in lines).encode("utf-8", "backslashreplace")


def _tame_line(line: str) -> str:
    return "\t".join(shown(part, ESCAPED * len(part) + 1) for part in line.split("\t"))
