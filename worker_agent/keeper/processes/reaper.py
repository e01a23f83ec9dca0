"""Finding and ending processes: whole trees, also what left its group, its session or its parent.

A process belongs to a command when it descends from the command's process, or carries the command's mark in its
environment; belonging.py decides that from what is read here. Used by the keeper, and by the agent's main process for
what a killed keeper left behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator

import psutil

from worker_agent.keeper.files import read_file
from worker_agent.keeper.processes import belonging
from worker_agent.keeper.processes.belonging import Orphan, carries, identity_in, is_living, to_be_left

#: How long to go on killing what keeps forking or hangs in the kernel before giving up.
KILL_PATIENCE = 10.0
#: The same where none of it may be killed, since it runs as another user.
DENIED_PATIENCE = 1.0
#: Between two rounds of killing: what was killed needs a moment to go.
ROUND_PAUSE = 0.01
_PR_SET_CHILD_SUBREAPER = 36
#: Each thread of this process has a list of its own of the children that it started.
_THREADS = "/proc/self/task"
#: How often these lists are read, as long as threads end or begin meanwhile. One that looked at a file ends just when
#: whoever waited for it goes on and asks for the children, so the second time is the last as a rule.
_LISTINGS = 10
#: How often a process that is about to have an environment is looked at, and the seconds between: one that does nothing
#: but begin programs was in between at one look of ten, and was nobody's then.
_EXEC_LOOKS = 100
_EXEC_PAUSE = 0.001
#: What the system says of the environment of a process that is gone, or another user's.
_NOT_TO_BE_READ = frozenset({errno.ENOENT, errno.ESRCH, errno.EACCES, errno.EPERM})
#: Commands go first when memory runs out, not the agent that has to report it (0 is the default, 1000 the most).
_OOM_SCORE = 300

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform.startswith("linux") else None


def become_subreaper() -> bool:
    """Orphans among this process's descendants become its children, not init's. False where there is no such thing."""
    return _libc is not None and _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


@contextlib.contextmanager
def not_subreaper() -> Iterator[None]:
    """What is orphaned inside goes to whom it would go without `become_subreaper`."""
    if _libc is not None:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    try:
        yield
    finally:
        become_subreaper()


@contextlib.contextmanager
def taken_first() -> Iterator[None]:
    """What is started inside, and all that it starts, is killed before this process when memory runs out.

    The score is inherited, and may always be set back to what it was.
    """
    before = _swap_oom_score(lambda score: max(score, _OOM_SCORE))
    try:
        yield
    finally:
        if before is not None:
            _swap_oom_score(lambda _: before)


def go_first() -> None:
    """The same for this process itself, for good: one that cannot tell itself from what it starts."""
    _swap_oom_score(lambda score: max(score, _OOM_SCORE))


def _swap_oom_score(change: Callable[[int], int]) -> int | None:
    """Returns what it was; None: the system has no such thing."""
    try:
        with open("/proc/self/oom_score_adj", "r+b", buffering=0) as file:
            before = int(file.read())
            file.seek(0)
            file.write(b"%d" % change(before))
    except OSError:
        return None  # a sandbox without /proc, or one that forbids it: the command runs all the same
    return before


def identity(pid: int) -> str | None:
    """What tells process `pid` from a later one with the same number; None when there is none, or a zombie."""
    try:
        if sys.platform.startswith("linux"):
            return identity_in(read_file(f"/proc/{pid}/stat").decode(errors="replace"), _boot())
        return str(psutil.Process(pid).create_time())
    except (OSError, psutil.Error):
        return None


@functools.cache
def _boot() -> str:
    """What the system calls the time since it was started."""
    return read_file("/proc/sys/kernel/random/boot_id").decode()


def descendants(process: psutil.Process) -> list[psutil.Process]:
    """Living processes below `process`, without itself, without zombies, and without what is to be left (`LEAVE`).

    None where its number is another's by now: whoever has it has descendants of its own.
    """
    found = _below(process)
    spared = {each.pid for root in found if left_on_purpose(root) for each in (root, *_below(root))}
    return [each for each in found if each.pid not in spared]


def of_child(pid: int) -> psutil.Process | None:
    """A child of this process; None where it is gone, or the system does not show it."""
    return next(iter(of_children((pid,))), None)


def of_children(pids: Iterable[int]) -> list[psutil.Process]:
    """Those of them that are there, and that the system shows.

    Where a service has `ProtectProc=invisible`, a process is shown only to those who may trace it. For milliseconds
    while it begins a program that is not even its parent, where that may not be traced itself (`SecondUser`); one that
    gets more rights by its program is hidden for good, so all are looked at again together.
    """
    found, hidden = [], list(pids)
    for _ in range(_EXEC_LOOKS):
        looked_at, hidden = hidden, []
        for pid in looked_at:
            try:
                found.append(psutil.Process(pid))
            except (psutil.NoSuchProcess, FileNotFoundError):  # the second: it comes into sight while psutil looks
                if _is_there(pid):
                    hidden.append(pid)
        if not hidden:
            break
        time.sleep(_EXEC_PAUSE)
    return found


def _is_there(pid: int) -> bool:
    """Signals reach what `/proc` does not show."""
    try:
        os.kill(pid, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)
    return True


def left_on_purpose(process: psutil.Process) -> bool:
    """Was it started with the wish to outlive its build?"""
    return to_be_left(environment(process.pid))


def left_below(pids: Iterable[int]) -> list[psutil.Process]:
    """What is to be left among children `pids` of this process and all below them."""
    found: dict[int, psutil.Process] = {}
    for child in of_children(pids):
        found.update((process.pid, process) for process in (child, *_below(child)))
    return [process for process in found.values() if alive(process) and left_on_purpose(process)]


def _below(process: psutil.Process) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for _ in range(_EXEC_LOOKS):
        try:
            found = process.children(recursive=True)  # raises it also where the number is another's
            break
        except psutil.NoSuchProcess:
            return []
        except FileNotFoundError:  # as in `of_children`
            time.sleep(_EXEC_PAUSE)
    return [each for each in found if alive(each)]


def marked(mark: str) -> list[psutil.Process]:
    """Living processes whose environment carries `mark`; one that ends with "/" stands for a session's commands.

    Not by psutil.process_iter: it remembers processes, and leaves out one whose number was another's at an earlier
    look, at this one and the next.
    """
    own, found = os.getpid(), []
    for pid, told in environments(psutil.pids()):
        if pid == own or not carries(told, mark):
            continue
        with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError):  # it has ended just now
            process = psutil.Process(pid)
            if carries(environment(pid), mark) and alive(process):  # it, not one that had its number a moment ago
                found.append(process)
    return found


def orphan(process: psutil.Process) -> Orphan:
    """What is known of a child of this process. Raises psutil.NoSuchProcess."""
    return Orphan(
        pid=process.pid, began=process.create_time(), status=process.status(), environment=environment(process.pid)
    )


def kill(processes: Iterable[psutil.Process], sig: int = signal.SIGKILL) -> list[psutil.Process]:
    """Send `sig` to each; returns those that got it: neither gone meanwhile nor of a user whose processes we may not
    end."""
    told = []
    for process in processes:
        try:
            process.send_signal(sig)  # checks that the pid is still the same process
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        told.append(process)
    return told


def rounds(find: Callable[[], list[psutil.Process]]) -> Iterator[list[psutil.Process]]:
    """Each step SIGKILLs what `find` finds and yields it; ends when nothing is left, or patience is.

    There is less of it where nothing that is left may be killed: its parents' end may be its own.
    """
    now = time.monotonic()
    deadline, denied = now + KILL_PATIENCE, now + DENIED_PATIENCE
    while True:
        found = find()
        if kill(found):
            denied = time.monotonic() + DENIED_PATIENCE
        yield found
        if not found or time.monotonic() > min(deadline, denied):
            return


def kill_until_none(find: Callable[[], list[psutil.Process]]) -> list[psutil.Process]:
    """`rounds`, blocking. Returns what would not die."""
    left: list[psutil.Process] = []
    for left in rounds(find):
        if left:
            time.sleep(ROUND_PAUSE)
    return left


def tree(pid: int) -> Callable[[], list[psutil.Process]]:
    """Finds `pid` and what descends from it, also what was seen below it once and has lost its parent since."""
    known: dict[int, psutil.Process] = {}
    with contextlib.suppress(psutil.NoSuchProcess):
        known[pid] = psutil.Process(pid)

    def find() -> list[psutil.Process]:
        for root in list(known.values()):
            known.update((process.pid, process) for process in descendants(root))
        return [process for process in known.values() if alive(process)]

    return find


def kill_tree(pid: int) -> list[psutil.Process]:
    """Kill `pid` and all that descends from it. Blocks; returns what would not die."""
    return kill_until_none(tree(pid))


def kill_session(session: str) -> list[psutil.Process]:
    """Kill every process of every command of a session whose keeper is gone. Blocks; returns what would not die."""
    return kill_until_none(lambda: marked(f"{session}/"))


def reap_strays(known: frozenset[int]) -> None:
    """Collect zombies that this process adopted as a subreaper, but not its own children `known`."""
    for pid in own_children():
        if pid not in known:
            with contextlib.suppress(ChildProcessError):  # somebody has collected it just now
                os.waitpid(pid, os.WNOHANG)


def own_children() -> list[int]:
    """Children of this process, zombies too. Linux lists them; elsewhere all processes of the machine are looked at,
    which with some 300 of them costs 5 ms each time: an idle agent would spend most of its time on it."""
    for _ in range(_LISTINGS):
        with contextlib.suppress(OSError):  # another system, a kernel without these lists, or a thread has just ended
            threads = os.listdir(_THREADS)
            found = [int(pid) for thread in threads for pid in read_file(f"{_THREADS}/{thread}/children").split()]
            if os.listdir(_THREADS) == threads:  # or what one that ended had started may now be in a list read before
                return found
    return [process.pid for process in psutil.Process().children()]


def alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running()) and is_living(process.status())
    except psutil.NoSuchProcess:
        return False


def is_stopped(pid: int) -> bool:
    """By a signal (SIGSTOP) or by whoever traces it: it lives, and does nothing until it is let go on."""
    try:
        return belonging.is_stopped(psutil.Process(pid).status())
    except psutil.NoSuchProcess:
        return False


def environment(pid: int) -> bytes:
    """Process `pid`'s when its program began, each entry with a NUL after it; empty: it is gone, or not to be read."""
    return next(told for _, told in environments((pid,)))


def environments(pids: Iterable[int]) -> Iterator[tuple[int, bytes]]:
    """Each of them with its `environment`, in any order.

    Those that are in the middle of an `exec` are looked at again together: there may be hundreds that look so for good,
    for which each would be waited by itself (whoever unmaps the pages of its environment).
    """
    begin = list(pids)
    for _ in range(_EXEC_LOOKS):
        looked_at, begin = begin, []
        for pid in looked_at:
            told = _environment(pid)
            if told is None:
                begin.append(pid)
            else:
                yield pid, told
        if not begin:
            return
        time.sleep(_EXEC_PAUSE)
    yield from ((pid, b"") for pid in begin)


def _environment(pid: int) -> bytes | None:
    """None: it is in the middle of an `exec`, so that nobody can tell yet."""
    try:
        if sys.platform.startswith("linux"):  # read raw: psutil parses the whole environment, ten times as slow
            found = read_file(f"/proc/{pid}/environ")
            begins = not found and belonging.begins_a_program(read_file(f"/proc/{pid}/stat").decode(errors="replace"))
            return None if begins else found
        return os.fsencode("\0".join(f"{name}={value}" for name, value in psutil.Process(pid).environ().items()))
    except psutil.Error:
        return b""
    except OSError as error:
        if error.errno in _NOT_TO_BE_READ or not sys.platform.startswith("linux"):
            return b""
        raise
