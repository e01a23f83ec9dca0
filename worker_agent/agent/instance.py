"""Which agent this is: a uuid and an epoch counter in the state folder, held under a file lock (rule 2)."""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import uuid4

import structlog

from worker_agent.keeper.files import read_text
from worker_agent.state_files import StateUnreadable, write_atomically

log = structlog.get_logger(__name__)

#: Seconds for which a lock that is held is asked for again. Two hold it that are no agent: a process that an agent was
#: just starting when it was killed or restarted in place, until that is another program (fork(2), flock(2)), and the
#: program that gives a killed agent's work back (`agent.giving_back`), until it yields or has done so.
LOCK_PATIENCE = 15.0
#: The same for that program: who has the lock for longer is an agent that has taken the work up, or its like.
GIVING_BACK_PATIENCE = 1.0
_LOCK_AGAIN = 0.05

#: What other sides take for an instance (`contracts.messages.Id`).
_UUID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


class StateInUse(Exception):
    """Another agent works with this state folder."""


def identity_text(uuid: str, epoch: int) -> str:
    """What `instance.json` holds."""
    return json.dumps({"uuid": uuid, "epoch": epoch}) + "\n"


def identity_of(text: str) -> tuple[str, int]:
    """(uuid, epoch). Raises ValueError, KeyError or TypeError for what `identity_text` did not write."""
    fields = json.loads(text)
    uuid, epoch = fields["uuid"], fields["epoch"]
    if not (isinstance(uuid, str) and _UUID.fullmatch(uuid) and type(epoch) is int and epoch >= 0):
        raise ValueError("it holds no uuid with an epoch")
    return uuid, epoch


class Instance:
    """The identity of the agent that owns `state`; one process at a time.

    Raises `StateInUse` or `StateUnreadable` when made. The lock goes with the process (and with an exec in place, which
    takes it again). `gives_back`: for the program that gives a killed agent's work back, which yields to an agent.
    """

    def __init__(self, state: Path, *, gives_back: bool = False) -> None:
        self.state = state
        self._file = state / "instance.json"
        try:
            state.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock: IO[str] = (state / "instance.lock").open("a+", encoding="utf-8")
        except OSError as error:
            raise _unusable(state, error) from None
        try:
            if gives_back:
                self._take_lock(GIVING_BACK_PATIENCE)
            else:
                with self._waiting():
                    self._take_lock(LOCK_PATIENCE)
            #: the last epoch is not on the disk (yet)
            self._unwritten = False
            self._told: int | None = None
            self.uuid, self._epoch = self._read()
        except BlockingIOError:
            self._lock.close()
            raise StateInUse(
                f"another worker agent works with {state}: stop it, or give this one a --name or a --state of its own"
            ) from None
        except OSError as error:
            self._lock.close()
            raise _unusable(state, error) from None
        except StateUnreadable:
            self._lock.close()
            raise

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """`wanted` for whoever has the lock. A lock of the folder itself: a full disk takes no further file."""
        folder = os.open(self.state, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_SH)
            yield
        finally:
            os.close(folder)

    @property
    def wanted(self) -> bool:
        """An agent waits for this state folder, and would take up what runs."""
        try:
            folder = os.open(self.state, os.O_RDONLY)
        except OSError:  # somebody has removed it: no agent finds it
            return False
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(folder)
        return False

    def _take_lock(self, patience: float) -> None:
        """Raises OSError: `BlockingIOError` where another agent has it."""
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_LOCK_AGAIN)
            else:
                return

    def _read(self) -> tuple[str, int]:
        """Raises OSError: there is none, and none can be made; `StateUnreadable`: it is not one of ours."""
        try:
            text = read_text(self._file)
        except FileNotFoundError:
            return self._new()
        except (OSError, ValueError) as error:
            raise self._unreadable(getattr(error, "strerror", None) or error) from None
        if not text.strip("\0 \r\n\t"):
            log.warning("instance_file_empty", path=str(self._file), reason="it is empty, as after a loss of power",
                        effect="the agent counts as a new one")  # fmt: skip
            return self._new()
        try:
            return identity_of(text)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._unreadable(error) from None

    def _new(self) -> tuple[str, int]:
        uuid = str(uuid4())
        self._write(uuid, 0)
        return uuid, 0

    def _unreadable(self, reason: object) -> StateUnreadable:
        return StateUnreadable(f"{self._file} cannot be read ({reason}): remove it; the agent then counts as a new one")

    def _write(self, uuid: str, epoch: int) -> None:
        self.state.mkdir(parents=True, exist_ok=True, mode=0o700)  # somebody may have removed it
        write_atomically(self._file, identity_text(uuid, epoch), durably=True)

    def next_epoch(self) -> int:
        """A number greater than any before, remembered before it is used.

        On a disk that takes nothing it cannot be remembered. The time stands in then, seconds since 1970: links are
        made less often than once a second, so the numbers of a later process are greater all the same.
        """
        self._epoch += 1
        self._unwritten = True
        self.remember()
        if self._unwritten:
            self._epoch = max(self._epoch, int(time.time()))
        return self._epoch

    def remember(self) -> None:
        """Write the last epoch down, if it could not be before; cheap if it could."""
        if not self._unwritten:
            return
        try:
            self._write(self.uuid, self._epoch)
        except OSError as error:
            if self._told != error.errno:
                self._told = error.errno
                log.warning("epoch_not_written", path=str(self._file), reason=str(error.strerror), retry="for ever")
        else:
            self._unwritten, self._told = False, None

    @property
    def epoch(self) -> int:
        """Of the connection that was opened last."""
        return self._epoch

    def close(self) -> None:
        """Another process of this state folder may start."""
        self._lock.close()


def _unusable(state: Path, error: OSError) -> StateUnreadable:
    return StateUnreadable(f"state folder {state} cannot be used ({error.strerror}): choose another with --state")
