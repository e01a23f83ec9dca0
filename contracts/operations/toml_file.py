"""A program's configuration file. Standard library only (tomli, the same code, before Python 3.11)."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

#: Part of Python from 3.11 on, before that a package of its own with the same functions.
tomllib = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")


class BadFile(Exception):
    """It cannot be read, or is no TOML: the message names the file and what is wrong."""


def read_toml(path: Path) -> dict[str, Any]:
    """The file's keys. Raises `BadFile`."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise BadFile(f"{path} is not TOML: {error}") from None
    return parse_toml(text, str(path))


def parse_toml(text: str, name: str) -> dict[str, Any]:
    """The keys of a file called `name`. Raises `BadFile`, which repeats nothing of the text: it may hold a password."""
    try:
        table: dict[str, Any] = tomllib.loads(text)
    except ValueError as error:
        raise BadFile(f"{name} is not TOML, or not all of it is there: {error}") from None
    return table
