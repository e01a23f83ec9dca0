"""Which process is which, and whose: decided from what the system tells of it. Pure; reaper.py asks the system.

A number of a process says little: it is another's soon after its process is gone, and an orphan changes its parent.
What counts is when a process began, and the mark in its environment, which survives `setsid` and double forks.
"""

from __future__ import annotations

from dataclasses import dataclass

import psutil

#: Environment variable by which a command's processes are known: "<session>/<n>".
MARK = "BUILDBOT_AMQP_COMMAND"
#: Instead of a command's mark: what a build starts with this value runs on after it (docs/differences-to-pb.md).
LEAVE = "leave"

#: Where proc_pid_stat(5) has them, counted from what follows the name.
_STATE, _STARTED = 0, 19
_MEMORY, _ENVIRONMENT_BEGIN, _ENVIRONMENT_END = 20, 47, 48
#: States of a number that is no process any more, there.
_GONE = frozenset({"Z", "X"})
_OVER = frozenset({psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD})
_STOPPED = frozenset({psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP})


def identity_in(stat: str, boot: str) -> str | None:
    """From `/proc/<pid>/stat` and the boot's id: what no other process has, ever. None: a zombie, or no such text.

    A process may have any name, also one with blanks and brackets.
    """
    fields = stat.rpartition(")")[2].split()
    if len(fields) <= _STARTED or fields[_STATE] in _GONE:
        return None
    return f"{boot.strip()}/{fields[_STARTED]}"  # in clock ticks since that boot


def begins_a_program(stat: str) -> bool:
    """From `/proc/<pid>/stat`, where its environment is empty: is it in the middle of an `exec`, or just after it?

    What one of that moment was started with, and carries on with, is told a little later. What has ended and what is
    the kernel's has no memory; a program without any environment says that it begins where it ends.
    """
    fields = stat.rpartition(")")[2].split()
    if len(fields) <= _ENVIRONMENT_END or fields[_MEMORY] == "0":
        return False
    return fields[_ENVIRONMENT_END] == "0" or fields[_ENVIRONMENT_BEGIN] != fields[_ENVIRONMENT_END]


def carries(environment: bytes, mark: str) -> bool:
    """`environment`: entries that end with NUL, as in `/proc/<pid>/environ`. A mark that ends with "/" is any command's
    of that session."""
    wanted = f"{MARK}={mark}".encode()
    whole = not mark.endswith("/")
    return any(entry == wanted if whole else entry.startswith(wanted) for entry in environment.split(b"\0"))


def to_be_left(environment: bytes) -> bool:
    """Was it started with the wish to outlive its build?"""
    return carries(environment, LEAVE)


def of_another_command(environment: bytes, mark: str) -> bool:
    """Does it carry the mark of a command of the same session as `mark`, but not `mark` itself?"""
    session = mark.rpartition("/")[0]
    return carries(environment, f"{session}/") and not carries(environment, mark)


def is_living(status: str) -> bool:
    """`status`: psutil's. A zombie is a number that somebody has to collect, and nothing more."""
    return status not in _OVER


def is_stopped(status: str) -> bool:
    """By a signal, or by whoever traces it."""
    return status in _STOPPED


@dataclass(frozen=True, kw_only=True)
class Orphan:
    """A child of the keeper that it did not start as a command. `began`: seconds since the epoch."""

    pid: int
    began: float
    status: str
    environment: bytes


def is_orphan_of(orphan: Orphan, *, mark: str, began: float, guard: int) -> bool:
    """Did the command with this mark leave it, which began then and is the only one that runs?

    What an earlier command left can be of the same age: the system counts it in hundredths of a second. Then its mark
    tells. `guard`: the number of the keeper's guard (guard.py), which is no command's.
    """
    return (
        orphan.pid != guard
        and orphan.began >= began
        and is_living(orphan.status)
        and not of_another_command(orphan.environment, mark)
        and not to_be_left(orphan.environment)
    )
