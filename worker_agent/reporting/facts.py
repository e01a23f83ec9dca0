"""What else Buildbot's own worker tells of its machine: os-release(5) as `os_…`, and the files of `<basedir>/info/`.

A build reads them as `%(worker:os_id)s`, and as `%(worker:NAME)s` for a file `info/NAME`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import structlog

from contracts.readable import readable
from worker_agent.agent.errands import Errands, Here
from worker_agent.reporting.info_files import FOLDER, text_of

log = structlog.get_logger(__name__)

OS_RELEASE = Path("/etc/os-release")


def facts(basedir: Path, os_release: Path = OS_RELEASE, errands: Errands | None = None) -> dict[str, str]:
    """Name -> text, as `buildbot_worker.base.BotBase.remote_getWorkerInfo` has them. Never raises; may block."""
    try:
        said: object = (errands or Here()).do("info", str(basedir))
    except OSError as error:
        log.warning("info_unreadable", path=str(basedir / FOLDER), reason=readable(str(error)))
        said = {}
    files = {str(name): str(text) for name, text in said.items()} if isinstance(said, dict) else {}
    return {**files, **dict(_os_release(os_release))}


def _os_release(path: Path) -> Iterator[tuple[str, str]]:
    try:
        text = text_of(path) or ""
    except (OSError, ValueError) as error:
        if not isinstance(error, FileNotFoundError):
            log.warning("info_unreadable", path=str(path), reason=str(error))
        return
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and value and not line.startswith("#"):
            yield f"os_{key.lower()}", value.strip('"')
