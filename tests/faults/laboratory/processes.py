"""Process trees: kill -9 as a power failure does it, stop and continue, and who of a test is still there."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.harness.waiting import wait_for

#: In the environment of everything that an agent of a test starts.
MARK = "FAULTS_LAB"
_GONE = (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess)


def tree(pid: int) -> list[psutil.Process]:
    """The process and all that descends from it; nothing if it is gone."""
    try:
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _to_all(find: Callable[[], list[psutil.Process]], number: int) -> list[psutil.Process]:
    """Signal everybody, and again until a look finds nobody new (they may fork meanwhile)."""
    done: dict[int, psutil.Process] = {}
    while fresh := [process for process in find() if process.pid not in done]:
        for process in fresh:
            with contextlib.suppress(*_GONE):
                process.send_signal(number)
            done[process.pid] = process
    return list(done.values())


def freeze(find: Callable[[], list[psutil.Process]]) -> list[psutil.Process]:
    return _to_all(find, signal.SIGSTOP)


def thaw(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(*_GONE):
            process.send_signal(signal.SIGCONT)


def kill_all(find: Callable[[], list[psutil.Process]]) -> None:
    """As when the machine loses power: nobody has time to look after anybody. They are frozen, then killed."""
    processes = freeze(find)
    for process in processes:
        with contextlib.suppress(*_GONE):
            process.kill()
    wait_for(lambda: not any(map(alive, processes)), 10, lambda: f"killed:\n{describe(processes)}")


def alive(process: psutil.Process) -> bool:
    """A dead one may still wait for its parent (not ours to collect: somebody's Popen will)."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def marked(mark: str, besides: set[int] = frozenset()) -> list[psutil.Process]:  # type: ignore[assignment]
    """All processes whose environment has the mark, dead ones that wait for their parent left out."""
    found = []
    for process in psutil.process_iter():
        if process.pid in besides:
            continue
        with contextlib.suppress(*_GONE, OSError):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def waiting_keepers(agent: int) -> set[int]:
    """Children of an agent that wait to be the keeper of a session, and the guards that they have from their last one.

    A keeper that has a session works in its folder.
    """
    found = set()
    for child in tree(agent)[1:]:
        with contextlib.suppress(*_GONE):
            if "worker-agent keeper" in child.cmdline() and not (Path(child.cwd()) / "keeper.pid").exists():
                found.add(child.pid)
                found.update(guard.pid for guard in child.children() if "worker-agent guard" in guard.cmdline())
    return found


def wires(agent: int) -> set[int]:
    """Its ssh to the master, where it comes by that."""
    found = set()
    for child in tree(agent)[1:]:
        with contextlib.suppress(*_GONE):
            if child.ppid() == agent and child.name() == "ssh":
                found.add(child.pid)
    return found


def describe(processes: list[psutil.Process]) -> str:
    lines = []
    for process in processes:
        with contextlib.suppress(*_GONE):
            lines.append(f"{process.pid} (of {process.ppid()}) {' '.join(process.cmdline())[:200]}")
    return "\n".join(lines)
