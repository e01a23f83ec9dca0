"""What a command needs of the keeper that runs it, and how it fails."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Mapping
from typing import Protocol

from worker_agent.keeper.journal.room import Room
from worker_agent.keeper.processes.launch import Children


class AbandonChain(Exception):
    """A process could not be started, or ended with a status that ends the command: (rc, text)."""

    @property
    def rc(self) -> int:
        rc: int = self.args[0]
        return rc


class MachineFailure(Exception):
    """The machine, not the command, failed; the text says how."""


def disk_full(error: BaseException) -> str | None:
    """In words, if `error` is that a disk is full. Told where it happens: what was written half is gone afterwards."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"disk full: {error}"
    return None


class Host(Protocol):
    """The keeper, seen by a command."""

    session: str
    #: folder of the builder (`builder`) and of the slot (`basedir`), absolute
    builder: str
    basedir: str
    encoding: str
    environ: Mapping[str, str]
    children: Children
    room: Room
    #: the same for uploads, which wait rather than fill the journal
    upload_room: Room

    #: how many main processes have attached so far: what was asked of an earlier one is asked again
    attachments: int

    def alone(self, mark: str) -> bool:
        """Is the command with this mark the only one that runs?"""

    def pull(self, n: int, offset: int, length: int) -> None:
        """Ask the main process for bytes of a download's file."""

    def fed(self, n: int) -> Awaitable[tuple[int, int, bytes]]:
        """The next bytes of it: offset, size of the whole file, bytes."""
