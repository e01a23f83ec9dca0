"""Between keeper and main process: JSON lines both ways; raw bytes follow a line that says how many in `bytes`.

Here is also what both name: files, sockets, commands. A main process knows nothing else of a keeper's program, which it
starts in a process of its own: it would be 0.9 MB in its memory.
"""

from __future__ import annotations

import json
from typing import Any

from contracts.readable import is_deeper
from contracts.timing import JSON_DEPTH_MAX

#: Version of what is said here: a keeper outlives an upgrade of the agent.
WIRE_VERSION = 1
#: Longest line. A command's arguments are in one: contracts.timing.MESSAGE_MAX, 4 MiB, is three times that in ASCII. A
#: line of empty lists takes 25 times its length in memory, and builds of a second user can reach who writes it.
_LINE_MAX = 16 * 1024 * 1024
#: Most bytes that follow a line: a file's in one message are 1 MiB (contracts.timing.FILE_DATA_MAX).
_DATA_MAX = 64 * 1024 * 1024

#: Where the main process connects to, in the session's folder.
SOCKET = "keeper.sock"
#: Who the keeper is, for an agent that starts after both it and the main process were killed.
PID_FILE = "keeper.pid"
#: What it complains of.
LOG = "keeper.log"
#: While the process of another user may live: its number, who it is (`reaper.identity`), and its user.
APART_FILE = "apart.pid"
#: Where a copy of the agent's connection to its master is taken (`keeper/link_copy.py`).
LINK_SOCKET = "link.sock"
#: Bytes that name such a copy, and what is answered when it is held.
LINK_NAME_BYTES = 8
LINK_HELD = b"h"
#: What is sent to a fork server with each keeper's socket: a descriptor alone cannot be sent.
FORK_REQUEST = b"k"

#: Version of the remote commands as Buildbot's worker 4.3 reports it.
_COMMAND_VERSION = "3.3"
#: Remote commands, as Buildbot's master asks for them (buildbot_worker/commands/registry.py).
COMMANDS = (
    "shell", "uploadFile", "uploadDirectory", "downloadFile", "mkdir", "rmdir", "cpdir", "stat", "glob", "listdir",
    "rmfile",
)  # fmt: skip


def command_versions() -> dict[str, str]:
    """Remote command -> version, for `WorkerInfo.worker_commands`."""
    return dict.fromkeys(COMMANDS, _COMMAND_VERSION)


class BadFrame(Exception):
    """What came over the socket is not a line of JSON."""


def encode(message: dict[str, Any], size: int = 0) -> bytes:
    """The line that says `message`. After it come `size` bytes of data."""
    if size:
        message = {**message, "bytes": size}
    return json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n"


class Frames:
    """Takes bytes as they come, gives messages and their data.

    Data is kept in the pieces in which it came and joined once: a download's pieces are 1 MiB.
    """

    def __init__(self) -> None:
        self._line = bytearray()
        self._message: dict[str, Any] | None = None
        self._pieces: list[bytes] = []
        self._missing = 0

    def feed(self, data: bytes) -> list[tuple[dict[str, Any], bytes]]:
        """The messages that are complete now. Raises `BadFrame`."""
        complete: list[tuple[dict[str, Any], bytes]] = []
        start = 0
        while True:
            if self._message is None:
                end = data.find(b"\n", start)
                if end < 0:
                    self._line += data[start:]
                    if len(self._line) > _LINE_MAX:
                        raise BadFrame(f"a line of more than {_LINE_MAX} bytes")
                    return complete
                self._message = self._parse(bytes(self._line) + data[start:end])
                self._line.clear()
                self._missing = self._message.get("bytes", 0)
                start = end + 1
            if self._missing:
                piece = data[start : start + self._missing]
                self._pieces.append(piece)
                self._missing -= len(piece)
                start += len(piece)
                if self._missing:
                    return complete
            complete.append((self._message, b"".join(self._pieces)))
            self._message = None
            self._pieces = []

    @staticmethod
    def _parse(line: bytes) -> dict[str, Any]:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadFrame(f"not JSON: {error}") from None
        if not isinstance(message, dict):
            raise BadFrame(f"JSON {type(message).__name__} where an object was expected")
        # no message of the protocol can carry it, and whoever writes JSON anew fails at it
        if line.count(b"[") + line.count(b"{") > JSON_DEPTH_MAX and is_deeper(message, JSON_DEPTH_MAX):
            raise BadFrame(f"JSON with more than {JSON_DEPTH_MAX} objects and arrays in one another")
        size = message.get("bytes", 0)
        if not isinstance(size, int) or not 0 <= size <= _DATA_MAX:
            raise BadFrame(f"bytes: {str(size)[:40]} is not 0 to {_DATA_MAX}")
        return message
