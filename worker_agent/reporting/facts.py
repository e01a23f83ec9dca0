"""What else Buildbot's own worker tells of its machine: os-release(5) as `os_…`, and the files of `<basedir>/info/`.

A build reads them as `%(worker:os_id)s`, and as `%(worker:NAME)s` for a file `info/NAME`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import structlog

from contracts.readable import readable
from worker_agent.agent.errands import Errands, Here

log = structlog.get_logger(__name__)

#: The folder's name, below the base directory, as in a worker's of Buildbot's.
FOLDER = "info"
OS_RELEASE = Path("/etc/os-release")
#: Longest file, all files together, in bytes, and most files: every claim carries them.
FILE_MAX, TOTAL_MAX, FILES_MAX = 16 * 1024, 64 * 1024, 64


def facts(basedir: Path, os_release: Path = OS_RELEASE, errands: Errands | None = None) -> dict[str, str]:
    """Name -> text, as `buildbot_worker.base.BotBase.remote_getWorkerInfo` has them. Never raises; may block."""
    try:
        said: object = (errands or Here()).do("info", str(basedir))
    except OSError as error:
        log.warning("info_unreadable", path=str(basedir / FOLDER), reason=readable(str(error)))
        said = {}
    files = {str(name): str(text) for name, text in said.items()} if isinstance(said, dict) else {}
    return {**files, **dict(_os_release(os_release))}


def files_of(basedir: str) -> dict[str, str]:
    """Of `<basedir>/info/`. Never raises; may block."""
    return dict(_files(Path(basedir) / FOLDER))


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return
    except OSError as error:
        log.warning("info_unreadable", path=str(folder), reason=str(error))
        return
    if len(names) > FILES_MAX:
        log.warning("info_left_out", path=str(folder), files=len(names) - FILES_MAX, most=FILES_MAX)
    left = TOTAL_MAX
    for name in names[:FILES_MAX]:
        try:
            text = _text(folder / name, min(FILE_MAX, left))
        except (OSError, ValueError) as error:
            log.warning("info_unreadable", path=readable(str(folder / name)), reason=readable(str(error)))
            continue
        if text is not None:
            left -= len(text.encode())
            yield readable(name), text


def _os_release(path: Path) -> Iterator[tuple[str, str]]:
    try:
        text = _text(path) or ""
    except (OSError, ValueError) as error:
        if not isinstance(error, FileNotFoundError):
            log.warning("info_unreadable", path=str(path), reason=str(error))
        return
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and value and not line.startswith("#"):
            yield f"os_{key.lower()}", value.strip('"')


def _text(path: Path, most: int = FILE_MAX) -> str | None:
    """Of a plain file; None for anything else, which is not opened for good. Raises OSError, ValueError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"longer than {most} bytes: {FILE_MAX} a file, {TOTAL_MAX} all together are told")
    return content.decode("utf-8")
