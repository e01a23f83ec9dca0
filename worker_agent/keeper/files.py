"""Small files, by `os`: `pathlib` and what it imports would be 0.6 MB of each keeper."""

from __future__ import annotations

import contextlib
import os


def read_file(path: str) -> bytes:
    """All of it. In a third of the time that a `Path` takes, which counts for those in /proc. Raises OSError."""
    with open(path, "rb", buffering=0) as file:
        return file.readall()


def remove_file(path: str) -> None:
    """It need not be there. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
