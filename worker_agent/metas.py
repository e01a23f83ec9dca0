"""`meta.json` of a session: what the main process remembers of it across its own restart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import structlog
from pydantic import ValidationError

from contracts.messages import Offer
from worker_agent.core.inputs import SessionMeta
from worker_agent.instance import write_atomically

log = structlog.get_logger(__name__)

FILE = "meta.json"


def dump(meta: SessionMeta) -> str:
    return json.dumps(
        {
            "session": meta.session,
            "offer": meta.offer.model_dump(mode="json"),
            "slot": meta.slot,
            "resumes": meta.resumes,
            "commands": {str(n): digest for n, digest in meta.commands.items()},
            "aside": meta.aside,
        }
    )


def load(text: str) -> SessionMeta:
    """Raises ValueError for what `dump` did not write."""
    try:
        fields = json.loads(text)
        return SessionMeta(
            session=str(fields["session"]),
            offer=Offer.model_validate(fields["offer"]),
            slot=int(fields["slot"]),
            resumes=bool(fields["resumes"]),
            commands={int(n): str(digest) for n, digest in fields["commands"].items()},
            aside=bool(fields["aside"]),
        )
    except (KeyError, TypeError, AttributeError, ValidationError) as error:
        raise ValueError(f"not a session's meta file: {error}") from None


def persist(folder: Path, meta: SessionMeta) -> None:
    """Write it into the session's folder, which is made when it is not there."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(folder / FILE, dump(meta))


def find(sessions: Path) -> Iterator[tuple[Path, SessionMeta | None]]:
    """Every session's folder below `sessions` and its meta; None where it cannot be read (said in the log)."""
    for folder in sorted(sessions.iterdir()) if sessions.is_dir() else []:
        if not folder.is_dir():
            continue
        try:
            yield folder, load((folder / FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            log.warning("session_unreadable", folder=str(folder), reason=str(error), remedy="its folder is removed")
            yield folder, None
