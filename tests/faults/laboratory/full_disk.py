"""Small file systems, and how they are filled. Needs root, Linux."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def file_system(folder: Path, mebibytes: int) -> Iterator[Path]:
    """A small one, at `folder`."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path, leave: int) -> Path:
    """A file that leaves `leave` bytes of the file system of `folder`, while others write there, too."""
    path = folder / "fill"
    block = bytes(64 * 1024)
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):  # no space left on device
        while shutil.disk_usage(folder).free > leave:
            file.write(block[: shutil.disk_usage(folder).free - leave])
    return path
