"""Files of the state folder: written whole or not at all, and what is said where they cannot be read."""

from __future__ import annotations

import contextlib
import os


class StateUnreadable(Exception):
    """The state folder cannot be used; the message says why and what to do."""


def write_atomically(path: str | os.PathLike[str], text: str, *, durably: bool = False, private: bool = False) -> None:
    """Replace `path` in one step: a reader sees the old text or the new. `private`: mode 0600. Raises OSError.

    Not flushed to the disk unless `durably`: it guards against the end of this process, and a machine that loses power
    loses the processes that most of these texts are about, too.
    """
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.new")
    if private:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)  # another's mode would stay
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600 if private else 0o666)
    with os.fdopen(handle, "wb") as file:
        file.write(text.encode())
        if durably:
            file.flush()
            os.fsync(file.fileno())
    os.replace(temporary, path)
    if durably:
        opened = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
