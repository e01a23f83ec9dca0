"""A child process for each trial: it has all that is loaded, and what it breaks ends with it.

A trial runs some tests, up to the first that fails, with one change or with none. It has a process group and a folder
for temporary files of its own; neither outlasts it.
"""

from __future__ import annotations

import json
import os
import resource
import select
import shutil
import signal
import tempfile
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.mutation.patience import EVERY, Clock

#: Bytes of data that a trial may have: a change that collects for ever ends before the machine does.
MEMORY = 4 << 30


@dataclass(frozen=True, kw_only=True)
class Trial:
    """`change`: name of a mutant, or empty; `seconds`: after which it is ended."""

    change: str
    tests: tuple[str, ...]
    seconds: float


@dataclass(kw_only=True)
class _Running:
    trial: Trial
    pid: int
    clock: Clock
    folder: Path = field(repr=False)


#: What a trial came to: what `play` said; None where its process ended without, TIMEOUT where it did not end.
Told = dict[str, Any] | None
TIMEOUT: Told = {"timeout": True}


def outcomes(
    trials: Iterable[Trial], play: Callable[[Trial], dict[str, Any]], jobs: int
) -> Generator[tuple[Trial, Told], None, None]:
    """Has children `play` the trials, `jobs` at once."""
    waiting = iter(trials)
    running: dict[int, _Running] = {}
    try:
        while True:
            while len(running) < jobs and (trial := next(waiting, None)) is not None:
                begun = _begin(trial, play)
                running[os.pidfd_open(begun.pid)] = begun
            if not running:
                return
            ended, _, _ = select.select(list(running), [], [], EVERY)
            for handle, each in list(running.items()):
                late = handle not in ended and each.clock.seconds() > each.trial.seconds
                if handle in ended or late:
                    del running[handle]
                    os.close(handle)
                    yield each.trial, _end(each, late=late)
    finally:
        for handle, each in running.items():
            os.close(handle)
            _end(each, late=True)


def _begin(trial: Trial, play: Callable[[Trial], dict[str, Any]]) -> _Running:
    folder = Path(tempfile.mkdtemp(prefix="m-"))
    pid = os.fork()
    if pid == 0:
        try:
            _set_apart(folder)
            told = json.dumps(play(trial))
            (folder / "told").write_text(told, "utf-8")
        finally:
            os._exit(0)
    return _Running(trial=trial, pid=pid, clock=Clock(pid), folder=folder)


def _set_apart(folder: Path) -> None:
    os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nowhere, number)
    tempfile.tempdir = os.environ["TMPDIR"] = os.environ["PYTEST_DEBUG_TEMPROOT"] = str(folder)


def _end(each: _Running, *, late: bool) -> Told:
    """Ends what is left of it."""
    with suppress(ProcessLookupError):  # it may not have made its group yet
        os.killpg(each.pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(each.pid, signal.SIGKILL)
    os.waitpid(each.pid, 0)
    told = each.folder / "told"
    said = TIMEOUT
    if not late:
        said = json.loads(told.read_text("utf-8")) if told.exists() else None
    shutil.rmtree(each.folder, ignore_errors=True)
    return said
