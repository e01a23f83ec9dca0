"""A process of the user whom commands run as: tries what `separation` wants to know. Standard library only."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path


def main(asked: str) -> None:
    """Prints one line, and waits for the end of its standard input."""
    wanted = json.loads(asked)
    secrets = [Path(path) for path in wanted["secrets"]]
    folders = {folder for path in secrets for folder in path.parents}
    print(  # noqa: T201  # the answer
        json.dumps(
            {
                "uid": os.geteuid(),
                "status": _status(),
                "readable": [str(path) for path in secrets if _readable(path)],
                "replaceable": sorted(str(folder) for folder in folders if _replaces(folder)),
                "basedir": _unusable(wanted["basedir"]),
            }
        ),
        flush=True,
    )
    sys.stdin.read()


def _status() -> dict[str, str]:
    lines = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _readable(path: Path) -> bool:
    if path.is_dir() if os.access(path.parent, os.X_OK) else False:
        return os.access(path, os.R_OK) or os.access(path, os.X_OK)
    return os.access(path, os.R_OK)


def _replaces(folder: Path) -> bool:
    """May this user take another file's name in it?"""
    if not os.access(folder, os.W_OK | os.X_OK):
        return False
    found = folder.stat()
    return not found.st_mode & stat.S_ISVTX or found.st_uid == os.geteuid()


def _unusable(basedir: str) -> str:
    """Why no build directory can be made there; empty: one can."""
    try:
        os.makedirs(basedir, exist_ok=True)
    except OSError as error:
        return error.strerror or str(error)
    return "" if os.access(basedir, os.W_OK | os.X_OK) else "it may not be written to"
