"""Between keeper and main process: JSON lines both ways; raw bytes follow a line that says how many in `bytes`."""

from __future__ import annotations

import json
from typing import Any

#: Version of what is said here: a keeper outlives an upgrade of the agent.
WIRE_VERSION = 1
#: Longest line; a command's arguments are in one (contracts.timing.MESSAGE_MAX is 4 MiB).
_LINE_MAX = 64 * 1024 * 1024


class BadFrame(Exception):
    """What came over the socket is not a line of JSON."""


def encode(message: dict[str, Any], data: bytes = b"") -> bytes:
    if data:
        message = {**message, "bytes": len(data)}
    return json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n" + data


class Frames:
    """Takes bytes as they come, gives messages and their data."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._message: dict[str, Any] | None = None
        self._searched = 0

    def feed(self, data: bytes) -> list[tuple[dict[str, Any], bytes]]:
        """The messages that are complete now. Raises `BadFrame`."""
        self._buffer += data
        complete: list[tuple[dict[str, Any], bytes]] = []
        while True:
            if self._message is None:
                end = self._buffer.find(b"\n", self._searched)
                if end < 0:
                    self._searched = len(self._buffer)
                    if self._searched > _LINE_MAX:
                        raise BadFrame(f"a line of more than {_LINE_MAX} bytes")
                    return complete
                self._message = self._parse(bytes(self._buffer[:end]))
                del self._buffer[: end + 1]
                self._searched = 0
            size = self._message.get("bytes", 0)
            if len(self._buffer) < size:
                return complete
            complete.append((self._message, bytes(self._buffer[:size])))
            del self._buffer[:size]
            self._message = None

    @staticmethod
    def _parse(line: bytes) -> dict[str, Any]:
        try:
            message = json.loads(line)
        except ValueError as error:
            raise BadFrame(f"not JSON: {error}") from None
        if not isinstance(message, dict):
            raise BadFrame(f"JSON {type(message).__name__} where an object was expected")
        return message
