"""Who runs a session's commands: the keeper itself (`Commands`), or a process of another user (`apart.Apart`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Listener(Protocol):
    """What a runner tells: the session, which journals it."""

    def append(self, n: int, kind: str, value: Any = None, data: bytes = b"") -> None:
        """One event of command `n`, but for its first and its last."""

    def completed(self, n: int, failure: str | None, infrastructure: str | None) -> None:
        """Command `n` is over, as `contracts.messages.Event` has it."""

    def pull(self, n: int, offset: int, length: int) -> None:
        """A download wants bytes of its file."""

    def broken(self, reason: str) -> None:
        """The runner cannot go on."""


class Runner(Protocol):
    """All but `end` and `kill_all` return at once."""

    #: after `end`: nobody need look whether a process of the session is left
    empty: bool

    def run(self, n: int, name: str, args: Mapping[str, Any], digest: str, *, unwanted: bool) -> None:
        """Start command `n`, which was not known before. `unwanted`: interrupted already, so it completes only."""

    def interrupt(self, n: int) -> None:
        """End command `n` and its process tree; not running: nothing."""

    def feed(self, n: int, offset: int, size: int, data: bytes) -> None:
        """Bytes that were pulled, from `offset`; `size` is the whole file's."""

    def set_room(self, output: bool, uploads: bool) -> None:
        """May output, and may files, be read now?"""

    def attached(self) -> None:
        """A new main process is there: what was asked of an earlier one is asked again."""

    async def kill_all(self) -> None:
        """Kill every process of the session, and go on; running commands complete."""

    async def end(self) -> list[str]:
        """Kill every process of the session, also what commands left behind. Returns when none is left: what commands
        that are over had left running, in words."""
