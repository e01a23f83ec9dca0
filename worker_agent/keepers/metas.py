"""`meta.json` of a session: what the main process remembers of it across its own restart."""

from __future__ import annotations

import os
from collections.abc import Iterator

import structlog
from pydantic import TypeAdapter, ValidationError

from worker_agent.core.inputs import SessionMeta
from worker_agent.keeper.files import read_file
from worker_agent.state_files import write_atomically

log = structlog.get_logger(__name__)

FILE = "meta.json"


#: The file's fields are those of the class, so that none can be forgotten here.
_META: TypeAdapter[SessionMeta] = TypeAdapter(SessionMeta)


def dump(meta: SessionMeta) -> str:
    """The text of the file: a JSON object."""
    return _META.dump_json(meta).decode()


def load(text: str) -> SessionMeta:
    """Raises ValueError for what `dump` did not write."""
    try:
        return _META.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise ValueError(f"not a session's meta file: {where}: {first['msg']}") from None


def persist(folder: str, meta: SessionMeta) -> None:
    """Write it into the session's folder, which is made when it is not there."""
    file = os.path.join(folder, FILE)
    try:
        write_atomically(file, dump(meta))
    except FileNotFoundError:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        write_atomically(file, dump(meta))


def find(sessions: str) -> Iterator[tuple[str, SessionMeta | None]]:
    """Every session's folder below `sessions` and its meta; None where it cannot be read (said in the log)."""
    try:
        names = sorted(os.listdir(sessions))
    except FileNotFoundError:
        return
    except OSError as error:
        log.error("sessions_unreadable", folder=sessions, reason=str(error), effect="what ran is given up")
        return
    for folder in (os.path.join(sessions, name) for name in names):
        try:
            yield folder, load(read_file(os.path.join(folder, FILE)).decode())
        except NotADirectoryError:
            continue
        except (OSError, ValueError) as error:
            log.warning("session_unreadable", folder=folder, reason=str(error), remedy="its folder is removed")
            yield folder, None
