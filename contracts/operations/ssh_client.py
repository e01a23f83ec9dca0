"""The system's `ssh`, as both sides run it to carry frames: how it is called, and what it means when it ends.

Keys, known hosts, jump hosts and the like are as its own configuration has them. Standard library only.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal

from contracts.operations.broker_failure import plain

#: Nobody is asked for anything. A peer that is not heard is given up after 15 s, as by the frames. The connection is
#: not shared with others of this user, whose end would be its own; nothing is forwarded; no byte is an order to ssh.
OPTIONS = (
    "-T", "-a", "-x",
    "-o", "BatchMode=yes",
    "-o", "ServerAliveInterval=5",
    "-o", "ServerAliveCountMax=3",
    "-o", "ClearAllForwardings=yes",
    "-o", "ControlMaster=no",
    "-o", "ControlPath=none",
    "-o", "PermitLocalCommand=no",
    "-o", "EscapeChar=none",
)  # fmt: skip
#: Lines of standard error that are kept to say why it ended, and bytes of one.
LINES_KEPT = 8
LINE_MAX = 1000
#: A shell's status where there is no such command (POSIX, 2.8.2).
NOT_FOUND = 127

#: What kept the two apart, where ssh tells.
Obstacle = Literal["host key", "key", "command"]
_HOST_KEY = re.compile(r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed|host key .*mismatch", re.I)
_REFUSED = re.compile(r"Permission denied|Too many authentication failures", re.I)


def command_line(host: str, command: str, *, port: int = 0, login: str | None = None, timeout: float = 10) -> list[str]:
    """Runs `command` there. `port` 0 and `login` None: as ssh's configuration says. `timeout`: seconds to connect."""
    where = [*(["-p", str(port)] if port else []), *(["-l", login] if login else [])]
    return ["ssh", *OPTIONS, "-o", f"ConnectTimeout={max(1, round(timeout))}", *where, "--", host, command]


class ErrorOutput:
    """What ssh and the other machine say to people, on its standard error: the last lines are kept."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        """`tell` hears of each line."""
        self.lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._tell = tell

    async def listen(self, stderr: asyncio.StreamReader) -> None:
        """Until its end."""
        rest = b""
        while data := await stderr.read(4096):
            *lines, rest = (rest + data).split(b"\n")
            rest = rest[-LINE_MAX:]
            for line in lines:
                self._add(line[:LINE_MAX])
        self._add(rest)

    def _add(self, line: bytes) -> None:
        text = plain(line.decode("utf-8", "replace"))
        if text.strip("@ "):  # else it is the frame around ssh's warning of a changed host key
            self.lines.append(text)
            self._tell(text)

    @property
    def last(self) -> str:
        """The last line; "" where nothing was said."""
        return self.lines[-1] if self.lines else ""


def obstacle(status: int | None, said: Sequence[str]) -> Obstacle | None:
    """What kept ssh from running the command there; None: something else. `said`: its last lines."""
    text = "\n".join(said)
    if _HOST_KEY.search(text):
        return "host key"
    if _REFUSED.search(text):
        return "key"
    return "command" if status == NOT_FOUND else None
