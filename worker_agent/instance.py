"""Which agent this is: a uuid and an epoch counter in the state folder, held under a file lock (rule 2)."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import IO
from uuid import uuid4


class StateInUse(Exception):
    """Another agent works with this state folder."""


class StateUnreadable(Exception):
    """The state folder cannot be used; the message says why and what to do."""


def write_atomically(path: Path, text: str) -> None:
    """Replace `path` in one step: a reader sees the old text or the new.

    Not flushed to the disk: it guards against the end of this process, and a machine that loses power loses the
    processes that the text is about, too.
    """
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def identity_text(uuid: str, epoch: int) -> str:
    """What `instance.json` holds."""
    return json.dumps({"uuid": uuid, "epoch": epoch}) + "\n"


def identity_of(text: str) -> tuple[str, int]:
    """(uuid, epoch). Raises ValueError, KeyError or TypeError for what `identity_text` did not write."""
    fields = json.loads(text)
    return str(fields["uuid"]), int(fields["epoch"])


class Instance:
    """The identity of the agent that owns `state`; one process at a time.

    Raises `StateInUse` or `StateUnreadable` when made. The lock goes with the process (and with an exec in place, which
    takes it again).
    """

    def __init__(self, state: Path) -> None:
        self.state = state
        self._file = state / "instance.json"
        try:
            state.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock: IO[str] = (state / "instance.lock").open("a+", encoding="utf-8")
        except OSError as error:
            raise StateUnreadable(
                f"state folder {state} cannot be used ({error.strerror}): choose another with --state"
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise StateInUse(
                f"another worker agent works with {state}: stop it, or give this one a --name or a --state of its own"
            ) from None
        self.uuid, self._epoch = self._read()

    def _read(self) -> tuple[str, int]:
        try:
            return identity_of(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            uuid = str(uuid4())
            self._write(uuid, 0)
            return uuid, 0
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StateUnreadable(
                f"{self._file} cannot be read ({error}): remove it; the agent then counts as a new one"
            ) from None

    def _write(self, uuid: str, epoch: int) -> None:
        write_atomically(self._file, identity_text(uuid, epoch))

    def next_epoch(self) -> int:
        """A number greater than any before, remembered before it is used."""
        self._epoch += 1
        self._write(self.uuid, self._epoch)
        return self._epoch

    @property
    def epoch(self) -> int:
        return self._epoch

    def close(self) -> None:
        self._lock.close()
