"""What is done on one agent to copy a folder, which travels as one archive. Pure, but for the files on this side."""

from __future__ import annotations

import posixpath
import secrets
import stat
from pathlib import Path

from master_bridge.running import steps
from master_bridge.running.job import Fields
from master_bridge.running.local_folders import ArrivingFolder, LocalFolder
from master_bridge.running.orders import Order, StepFailed, Steps
from master_bridge.running.steps import AGAIN, BLOCKSIZE, expect, look, path_of, quiet, target_of

#: $1: the archive, $2: where it is unpacked, $3: what becomes of it. All but $3 is gone at the end, however it ends.
_UNPACK = """\
trap 'rm -rf -- "$1" "$2"' EXIT
trap 'exit 1' HUP INT TERM
mkdir -p -- "$2" && tar -x -p -f "$1" -C "$2" || exit
if [ -e "$3" ] || [ -L "$3" ]; then echo "$3 is there already" >&2; exit 1; fi
mv -- "$2" "$3"
"""


def put(source: LocalFolder, remote: str, *, basedir: str, own: str) -> Steps[Fields]:
    """A folder from here. `own`: a folder that is the session's."""
    target = yield from target_of(path_of(basedir, remote), source.path.name, force=False)
    archive = posixpath.join(own, "put.tar")
    beside = posixpath.join(posixpath.dirname(target.rstrip("/")), f".put-{secrets.token_hex(8)}")
    args = {"workdir": basedir, "workerdest": archive, "maxsize": None, "blocksize": BLOCKSIZE, "mode": 0o600}
    outcome = yield Order(name="downloadFile", args=args, content=source)
    expect(outcome, target)
    outcome = yield quiet(["/bin/sh", "-c", _UNPACK, "put", archive, beside, target], basedir)
    expect(outcome, target)
    return {"exit_status": 0, "left_out": source.left_out.told}


def get(remote: str, target: Path, *, basedir: str, force: bool, packs: bool) -> Steps[Fields]:
    """A file or folder from there, to `target`. `packs`: the agent can make archives by itself."""
    path = path_of(basedir, remote)
    found = yield from look(path)
    if found is None or not stat.S_ISDIR(found.mode or 0):
        return (yield from steps.get(path, found, target, basedir=basedir, force=force))
    if target.exists() or target.is_symlink():
        raise StepFailed(f"{target} is there already: a folder replaces nothing")
    arriving = ArrivingFolder(target)
    try:
        arriving.open()
        if packs:
            args = {"workdir": basedir, "workersrc": path, "maxsize": None, "blocksize": BLOCKSIZE, "compress": None}
            outcome = yield Order(name="uploadDirectory", args=args, write=arriving.write)
        else:
            outcome = yield quiet(["tar", "-c", "-f", "-", "-C", path, "."], basedir, write=arriving.write)
        expect(outcome, path, f"is not copied; {AGAIN}, or without what cannot be read")
        arriving.keep()
    finally:
        arriving.discard()
    return {"exit_status": 0, "path": target, "left_out": arriving.left_out.told}
