"""What is done on one agent for each command: orders go out, outcomes come in. Pure, but for the files on this side.

Remote paths are those of POSIX; a relative one is seen from the agent's base directory. What does not succeed is
`StepFailed`.
"""

from __future__ import annotations

import errno
import posixpath
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from master_bridge.running.job import Fields
from master_bridge.running.local_files import CHANGED, Arriving, LocalFile
from master_bridge.running.orders import Order, OrderOutcome, StepFailed, Steps

#: An upload's argument that only says how Buildbot's own worker cuts a file into pieces.
BLOCKSIZE = 64 * 1024
#: Characters by which `ls` knows a pattern.
_PATTERN = frozenset("*?[")
#: What to do about a file or folder of an agent's that changes.
AGAIN = "get it again when nobody writes to it"
_SHORTER = f"became shorter while it was copied, and is not kept: {AGAIN}"
#: Bytes of the names that a shell tells.
NAMES_MAX = 16 * 1024 * 1024
#: Names, each with a NUL behind it: in the folder $1, and of the paths that the pattern $1 matches.
_LIST = """\
cd -- "$1" || exit
for name in * .[!.]* ..?*; do if [ -e "$name" ] || [ -L "$name" ]; then printf '%s\\0' "$name"; fi; done
"""
_GLOB = """\
IFS=
for name in $1; do if [ -e "$name" ] || [ -L "$name" ]; then printf '%s\\0' "$name"; fi; done
"""


def run(
    command: str | list[Any],
    *,
    basedir: str,
    env: Mapping[str, str | None],
    workdir: str,
    timeout: float | None,
    stdin: str | None,
) -> Steps[Fields]:
    """The command itself, whatever its exit status is. An agent would make a folder that is not there."""
    if workdir:
        yield from _is_there(path_of(basedir, workdir))
    args: dict[str, Any] = {
        "command": command,
        "workdir": path_of(basedir, workdir or "."),
        "env": dict(env),
        "timeout": None,
        "maxTime": timeout,
        "interruptSignal": "INT",
        "logEnviron": False,
        "initial_stdin": stdin,
    }
    outcome = yield Order(name="shell", args=args, is_shown=True)
    if outcome.out_of_time:
        return {"exit_status": None, "error": f"it took longer than {timeout:g} s, and was killed"}
    if outcome.failure is not None:
        return {"exit_status": None, "error": outcome.reason()}
    return {"exit_status": outcome.exit_status}


def put(source: LocalFile, remote: str, *, basedir: str, mode: int, force: bool) -> Steps[Fields]:
    """A file from here."""
    target = yield from target_of(path_of(basedir, remote), source.path.name, force=force)
    args = {
        "workdir": basedir,
        "workerdest": target,
        "maxsize": None,
        "blocksize": BLOCKSIZE,
        "mode": mode,
    }
    outcome = yield Order(name="downloadFile", args=args, content=source)
    if not outcome.is_good and source.is_changed:
        raise StepFailed(f"{source.path}: {CHANGED}")
    expect(outcome, target)
    return {"exit_status": 0}


def get(path: str, found: OrderOutcome | None, target: Path, *, basedir: str, force: bool) -> Steps[Fields]:
    """A file from there, of which a `stat` has `found` this, to the file `target`.

    One that grows meanwhile comes as long as it was.
    """
    if found is None:
        raise StepFailed(f"{path}: there is no such file")
    if not stat.S_ISREG(found.mode or 0):
        raise StepFailed(f"{path} is a pipe, a socket or a device: it has no end")
    if target.is_dir():
        raise StepFailed(f"{target} is a folder: it is not replaced")
    if not force and target.exists():
        raise StepFailed(f"{target} is there already: give force (--force) to replace it")
    arriving = Arriving(target)
    try:
        arriving.open()
        args = {
            "workdir": basedir,
            "workersrc": path,
            "maxsize": found.size or None,  # the system's own files say 0, and have more
            "blocksize": BLOCKSIZE,
            "keepstamp": False,
        }
        outcome = yield Order(name="uploadFile", args=args, write=arriving.write)
        left_out = _came(path, arriving.size, outcome, found, (yield from look(path)))
        arriving.keep()
    finally:
        arriving.discard()
    return {"exit_status": 0, "path": target, "left_out": left_out}


def _came(
    path: str, size: int, outcome: OrderOutcome, found: OrderOutcome, now: OrderOutcome | None
) -> tuple[str, ...]:
    """Of `size` bytes that have come: what is left out. `found`, `now`: before and after. Raises `StepFailed`."""
    # An agent that stops at so many bytes calls that a failure, whether there is more or not.
    is_whole = outcome.failure is None and size == found.size > 0
    if not is_whole and not outcome.is_good:
        if now is None:
            raise StepFailed(f"{path} was removed meanwhile, and is not copied")
        if now.size < found.size:
            raise StepFailed(f"{path} {_SHORTER}")
        expect(outcome, path, "is not copied; see whether the agent's user for commands may read it")
    if now is None or found.size == 0:
        return ()
    has_changed = (now.size, now.modified) != (found.size, found.modified)
    if has_changed and (size < found.size or now.size < found.size):
        raise StepFailed(f"{path} {_SHORTER}")
    if has_changed and now.size == found.size:
        raise StepFailed(f"{path} was written over while it was copied, and is not kept: {AGAIN}")
    return (f"what was added to {path} meanwhile: its first {size} bytes are copied",) if has_changed else ()


def names(remote: str, *, basedir: str, lists: bool = True) -> Steps[Fields]:
    """What is in a folder, which paths match a pattern, or the one file that is named. `lists`: the agent has commands
    for it; without them its shell does, for which `**` is `*`."""
    path = path_of(basedir, remote)
    found = yield from find(path)
    if found is not None and not stat.S_ISDIR(found):
        return {"exit_status": 0, "names": (path,)}
    if found is None and not _PATTERN & set(remote):
        raise StepFailed(f"{path}: there is no such file or folder")
    if not lists:
        return (yield from _names_by_shell(path, basedir, is_folder=found is not None))
    if found is not None:
        outcome = yield Order(name="listdir", args={"dir": path})
    else:
        outcome = yield Order(name="glob", args={"path": path})
    expect(outcome, path)
    return {"exit_status": 0, "names": tuple(sorted(outcome.files))}


def _names_by_shell(path: str, basedir: str, *, is_folder: bool) -> Steps[Fields]:
    said = bytearray()

    def take(data: bytes) -> None:
        if len(said) + len(data) > NAMES_MAX:
            raise OSError(errno.EFBIG, f"its names have more than {NAMES_MAX} bytes", path)
        said.extend(data)

    script = _LIST if is_folder else _GLOB
    outcome = yield quiet(["/bin/sh", "-c", script, "ls", path], basedir, write=take)
    expect(outcome, path)
    found = [name.decode("utf-8", "surrogateescape") for name in bytes(said).split(b"\0")[:-1]]
    return {"exit_status": 0, "names": tuple(sorted(found))}


def rename(source: str, target: str, *, basedir: str, force: bool) -> Steps[Fields]:
    """On the agent's own disks."""
    path = path_of(basedir, source)
    yield from _is_there(path)
    there = yield from target_of(path_of(basedir, target), posixpath.basename(path), force=force)
    outcome = yield quiet(["mv", "-f", path, there], basedir)
    expect(outcome, path)
    return {"exit_status": 0}


def copy(source: str, target: str, *, basedir: str, force: bool) -> Steps[Fields]:
    """A file, or a folder with all that is in it."""
    path = path_of(basedir, source)
    yield from _is_there(path)
    there = yield from target_of(path_of(basedir, target), posixpath.basename(path), force=force)
    outcome = yield Order(name="cpdir", args={"fromdir": path, "todir": there, "logEnviron": False})
    expect(outcome, path)
    return {"exit_status": 0}


def remove(paths: Sequence[str], *, basedir: str, recursive: bool) -> Steps[Fields]:
    """Files, and folders where that is wanted. It ends with the first that cannot be removed."""
    for path in (path_of(basedir, each) for each in paths):
        found = yield from find(path)
        if found is not None and stat.S_ISDIR(found):
            if not recursive:
                raise StepFailed(f"{path} is a folder: give recursive (--recursive) to remove it and all that is in it")
            if posixpath.normpath(path) in ("/", posixpath.normpath(basedir)):
                raise StepFailed(f"{path} is not removed as a whole: name what is in it")
            outcome = yield Order(name="rmdir", args={"dir": path, "logEnviron": False})
        else:  # also a link that leads nowhere
            outcome = yield Order(name="rmfile", args={"path": path})
        expect(outcome, path)
    return {"exit_status": 0}


def path_of(basedir: str, path: str) -> str:
    if not path:
        raise StepFailed("an empty text is no path")
    return posixpath.join(basedir, path)


def quiet(command: list[str], workdir: str, write: Callable[[bytes], None] | None = None) -> Order:
    """A program of which only errors are told; its output goes to `write`."""
    args = {"command": command, "workdir": workdir, "env": {"LC_ALL": "C"}, "logEnviron": False, "timeout": None}
    return Order(name="shell", args=args, write=write)


def find(path: str) -> Steps[int | None]:
    """The mode; None: it is not there."""
    found = yield from look(path)
    return None if found is None else found.mode


def look(path: str) -> Steps[OrderOutcome | None]:
    """What a `stat` says, with a mode; None: it is not there."""
    outcome = yield Order(name="stat", args={"file": path, "workdir": ""})
    if outcome.mode is not None:
        return outcome
    if outcome.rc in (2, 20):  # ENOENT, ENOTDIR, the same number on all systems
        return None
    raise StepFailed(outcome.reason())


def _is_there(path: str) -> Steps[None]:
    if (yield from find(path)) is None:
        raise StepFailed(f"{path}: there is no such file or folder")


def target_of(path: str, name: str, *, force: bool) -> Steps[str]:
    """Where it goes: into a folder under its own name. What is there is replaced only where that is wanted."""
    found = yield from find(path)
    if found is not None and stat.S_ISDIR(found):
        path = posixpath.join(path, name)
        found = yield from find(path)
    elif path.endswith("/"):
        raise StepFailed(f"{path}: there is no such folder")
    if found is not None and stat.S_ISDIR(found):
        raise StepFailed(f"{path} is a folder: it is not replaced")
    if found is not None and not force:
        raise StepFailed(f"{path} is there already: give force (--force) to replace it")
    return path


def expect(outcome: OrderOutcome, path: str, remedy: str = "") -> None:
    """Raises `StepFailed` for one that is not good, with what the agent says of it, which may be much."""
    if not outcome.is_good:
        reason = outcome.reasons()
        if remedy:
            reason = f"{path} {remedy}: {reason}"
        raise StepFailed(reason if path in reason else f"{path}: {reason}")
