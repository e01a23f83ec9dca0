"""A mount whose server never answers: every call below it hangs until it is taken away, as one of a dead NFS server."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

_DETACH = 2  # umount2's MNT_DETACH: also while it is in use


@contextlib.contextmanager
def hung_mount(folder: Path) -> Iterator[None]:
    """`folder` hangs: a FUSE file system that leaves even the first request unanswered. Needs root and /dev/fuse."""
    libc = ctypes.CDLL(None, use_errno=True)
    folder.mkdir(parents=True)
    server = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={server},rootmode=40000,user_id=0,group_id=0"
    if libc.mount(b"hung", os.fsencode(folder), b"fuse", 0, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), "cannot mount a FUSE file system", str(folder))
    try:
        yield
    finally:
        os.close(server)  # what hangs in it ends with an error
        libc.umount2(os.fsencode(folder), _DETACH)
