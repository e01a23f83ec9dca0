"""Paths of unix sockets that fit into a socket's address, wherever the folder is. Standard library only."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

#: Bytes of a path in a socket's address: 108 on Linux, 104 on macOS, with the zero at its end.
PATH_MAX = 100


@contextlib.contextmanager
def short_path(path: str | os.PathLike[str]) -> Iterator[str]:
    """A path to the same socket, short enough, while the context is open. Raises OSError."""
    whole = os.fspath(path)
    if len(os.fsencode(whole)) < PATH_MAX:
        yield whole
        return
    folder, name = os.path.split(whole)
    if sys.platform.startswith("linux"):
        descriptor = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{descriptor}/{name}"
        finally:
            os.close(descriptor)
        return
    import tempfile  # it has a price, and programs that start often import this module

    with tempfile.TemporaryDirectory(prefix="buildbot-", dir="/tmp") as short:  # $TMPDIR may be long, too
        link = os.path.join(short, "s")
        os.symlink(os.path.abspath(folder), link)
        yield os.path.join(link, name)
