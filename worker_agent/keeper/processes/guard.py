"""A process that outlives its keeper for a moment: it ends what the keeper ran if that was killed.

The agent's main process does the same when it is there; but whoever kills all of an agent at once (the system short of
memory, an operator) kills both. The kernel could be asked instead, from within each command's process between its fork
and its exec: that kills no more than that one process, only on Linux, and makes a start cost four times as much, for it
rules out vfork.

It is a shell that waits in 0.1 MB, and starts a Python when its keeper is gone. A copy of the keeper took 5 MB, all
that the keeper writes to once it is copied, and three times the processor time.

Where that Python does not do it (this package was removed or replaced since, or the table of processes is full) the
shell itself ends what it can know: the processes that the keeper had started, and all that carries the mark. What has
cleared its environment goes on then. Elsewhere than on Linux it ends nothing: it could not tell whose a number is.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import subprocess
from collections.abc import Callable, Iterator

import psutil

from worker_agent.keeper.isolated import isolated
from worker_agent.keeper.processes.belonging import MARK
from worker_agent.keeper.processes.reaper import identity, kill_until_none, marked, tree

#: How often the shell goes on with what keeps forking or hangs in the kernel.
_ROUNDS = 50
#: Commands' processes that are known by their numbers, at once; of further ones only those that carry the mark.
_PLACES = 64
#: Bytes of the lines in the file: the session's name; for each place a process's number, and what tells it from a later
#: one of that number (`reaper.identity`). Both are padded with blanks, for the shell reads them. Then the log's path.
_SESSION, _PLACE, _PATH = 256, 96, 4096
_LOG = _SESSION + _PLACES * _PLACE
_SIZE = _LOG + _PATH
#: Nothing is ever sent: what is read is the end of the pipe, which the end of the keeper is. The shell starts nothing
#: but the Python. `read` leaves out NULs, so that an environment is one text.
_WAIT = f"""
file=$1
shift
is() {{
    stat=
    while read -r line; do stat=$line; done 2>/dev/null </proc/$1/stat
    set -- "$2" ${{stat##*)}}
    case $2 in "" | Z | X) return 1 ;; esac
    [ "$1" = "" ] || [ "$1" = "$boot/${{21}}" ]
}}
carries() {{
    while read -r line || [ "$line" ]; do
        case $line in *"{MARK}=$session/"*) return 0 ;; esac
    done 2>/dev/null <"$1/environ"
    return 1
}}
finds() {{
    found=
    {{
        read -r session
        [ "$session" ] || return
        while read -r pid who; do
            [ "$who" ] && is "$pid" "$who" && kill -9 "$pid" && found=yes
        done
    }} </proc/self/fd/$file
    for each in /proc/[0-9]*; do
        carries "$each" && is "${{each#/proc/}}" "" && kill -9 "${{each#/proc/}}" && found=yes
    done
    [ "$found" ]
}}
ends() {{
    read -r boot </proc/sys/kernel/random/boot_id || return
    rounds={_ROUNDS}
    while finds && [ $rounds -gt 0 ]; do rounds=$((rounds - 1)); done
}}
trap ends EXIT
read -r nothing
"$@" && trap - EXIT
exit
"""
_END = "from worker_agent.keeper.processes.guard import take_over; take_over(int(sys.argv[2]))"
#: A service manager's, to all of the service: the keeper ends in order.
_UNHEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Guard:
    """The keeper's side, for one session after the other."""

    def __init__(self) -> None:
        # The guard reads it when the keeper is gone.
        self._file = _memory_file()
        self._shared = mmap.mmap(self._file, _SIZE)
        self._places = [0] * _PLACES
        for place in range(_PLACES):
            self._write(place, 0, "")
        self.pid = 0
        self._life = -1

    def begin(self, session: str, log: str = "") -> None:
        """It watches over this session from now on. Raises OSError: the system gives no process.

        `log`: the file that it complains to; empty: standard error, as it is now.
        """
        if self.pid and os.waitpid(self.pid, os.WNOHANG)[0]:  # it was killed while there was no session
            self.collected(self.pid)
        self._name(session, log)
        self.renew()

    def rest(self) -> None:
        """The session has ended, and none of its processes is left: until the next one there is nothing to do."""
        self._name("", "")

    def _name(self, session: str, log: str) -> None:
        self._shared[:_SESSION] = _line(session, _SESSION)
        self._shared[_LOG:] = os.fsencode(log)[:_PATH].ljust(_PATH, b"\0")

    def renew(self) -> None:
        """Make sure that there is one: it may have been killed itself. Raises OSError."""
        if self.pid:
            return
        ours, life = os.pipe()
        try:
            with _blocked(_UNHEARD):  # which a new program inherits
                process = subprocess.Popen(
                    [
                        "/bin/sh",
                        "-c",
                        _WAIT,
                        "sh",
                        str(self._file),
                        *isolated(_END),
                        "worker-agent guard",
                        str(self._file),
                    ],
                    cwd="/",
                    stdin=ours,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL if self._shared[_LOG] else None,
                    pass_fds=[self._file],
                    start_new_session=True,
                )
        except BaseException:
            os.close(life)
            raise
        finally:
            os.close(ours)
        process.returncode = 0  # it is collected here, or with all that the keeper started
        self.pid, self._life = process.pid, life

    def collected(self, pid: int) -> None:
        """`pid` has ended and was waited for."""
        if pid == self.pid:
            os.close(self._life)
            self.pid = 0
        else:
            self.forget(pid)

    def watch(self, pid: int) -> None:
        """`pid` has just been started."""
        if 0 in self._places:
            self._write(self._places.index(0), pid, identity(pid) or "")

    def forget(self, pid: int) -> None:
        if pid in self._places:
            self._write(self._places.index(pid), 0, "")

    def over(self) -> None:
        """The session has ended, and none of its processes is left."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)  # whatever somebody has done to it; there is nothing for it to end
            os.waitpid(self.pid, 0)
            self.collected(self.pid)

    def _write(self, place: int, pid: int, who: str) -> None:
        self._places[place] = pid
        start = _SESSION + place * _PLACE
        self._shared[start : start + _PLACE] = _line(f"{pid} {who}" if pid else "", _PLACE)


def _line(text: str, size: int) -> bytes:
    return os.fsencode(text)[: size - 1].ljust(size - 1) + b"\n"


def _memory_file() -> int:
    """A descriptor of `_SIZE` bytes that are zero, in a file without a name."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("guard")
    else:
        import tempfile

        with tempfile.TemporaryFile() as made:
            file = os.dup(made.fileno())
    os.ftruncate(file, _SIZE)
    return file


@contextlib.contextmanager
def _blocked(signals: tuple[signal.Signals, ...]) -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def take_over(file: int) -> None:
    """The keeper is gone: end what it had started. `file`: the descriptor of what it has written."""
    shared = mmap.mmap(file, _SIZE)
    session, *places = (line.decode().split() for line in shared[:_LOG].splitlines())
    log = shared[_LOG:].rstrip(b"\0")
    if log:
        with contextlib.suppress(OSError):  # what is left is ended all the same
            log_to(os.fsdecode(log))
    if session:
        # a Python takes a while to start: a number may be another's by now
        left = [int(pid) for pid, *who in filter(None, places) if who and identity(int(pid)) == who[0]]
        end_what_is_left(session[0], left)


def log_to(path: str) -> None:
    """What this process prints goes to the file `path` from now on. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)


def end_what_is_left(session: str, pids: list[int]) -> None:
    """Kill the trees of `pids` and all that carries the mark of a command of the session. Blocks."""
    trees = [tree(pid) for pid in pids]  # now: a number may be another's as soon as its process is gone
    kill_until_none(lambda: _left(session, trees))


def _left(session: str, trees: list[Callable[[], list[psutil.Process]]]) -> list[psutil.Process]:
    """Trees of the processes that the keeper had started, and all that carries the session's mark."""
    found: dict[int, psutil.Process] = {}
    for find in (*trees, *(tree(process.pid) for process in marked(f"{session}/"))):
        found.update((process.pid, process) for process in find())
    return list(found.values())
