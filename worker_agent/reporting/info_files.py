"""The files of `<basedir>/info/`, whose text a build reads as `%(worker:NAME)s`; read as bounded, plain files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import structlog

from contracts.readable import readable

log = structlog.get_logger(__name__)

#: The folder's name, below the base directory, as in a worker's of Buildbot's.
FOLDER = "info"
#: Longest file, all files together, in bytes, and most files: every claim carries them.
FILE_MAX, TOTAL_MAX, FILES_MAX = 16 * 1024, 64 * 1024, 64


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
        log.warning("info_files_ignored", path=str(folder), files=len(names) - FILES_MAX, most=FILES_MAX)
    left = TOTAL_MAX
    for name in names[:FILES_MAX]:
        try:
            text = text_of(folder / name, min(FILE_MAX, left))
        except (OSError, ValueError) as error:
            log.warning("info_unreadable", path=readable(str(folder / name)), reason=readable(str(error)))
            continue
        if text is not None:
            left -= len(text.encode())
            yield readable(name), text


def text_of(path: Path, most: int = FILE_MAX) -> str | None:
    """Of a plain file; None for anything else, which is not opened for good. Raises OSError, ValueError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"longer than {most} bytes: {FILE_MAX} a file, {TOTAL_MAX} all together are told")
    return content.decode("utf-8")
