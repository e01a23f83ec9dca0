"""What an operator had done on agents, line by line in a file of his own: JSON, appended, for his eyes only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import structlog
from platformdirs.unix import Unix


def journal_file() -> Path:
    """Below `$XDG_STATE_HOME`, else `~/.local/state`."""
    return Unix("buildbot-amqp").user_state_path / "operators.jsonl"


@contextmanager
def journalled() -> Iterator[None]:
    """What is logged within a `with` goes there. Where that cannot be, one line says so; agents log it, too."""
    path = journal_file()
    before = structlog.get_config()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        click.echo(f"warning: this is not logged here: {path}: {error.strerror}", err=True)
        handle = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
            logger_factory=structlog.WriteLoggerFactory(file=file),
            cache_logger_on_first_use=False,
        )
        try:
            yield
        finally:
            restore(before)


def restore(before: dict[str, Any]) -> None:
    """As it was configured."""
    structlog.configure(**before)
