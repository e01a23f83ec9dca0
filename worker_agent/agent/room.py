"""How much a folder's disk has left, or why nothing can be kept there."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Union

#: Free bytes, or why there is nothing to be had at all, for people.
Found = Union[int, str]


def room(what: str, folder: Path) -> Found:
    """Free bytes for `folder`, which need not be there yet; or why nothing can be kept in it."""
    try:
        place = folder
        while not os.path.lexists(place) and place != place.parent:
            place = place.parent
        if not place.is_dir():
            return f"{what} {folder} cannot be used: {place} is no directory"
        if place != folder and not os.access(place, os.W_OK | os.X_OK):
            return f"{what} {folder} cannot be made in {place}: it is read-only, or another's"
        if place == folder:
            tempfile.TemporaryFile(dir=folder).close()  # without a name, where the system has such files
        return shutil.disk_usage(place).free
    except OSError as error:
        return f"{what} {folder} cannot be used: {error.strerror}"


def temporary_room() -> Found:
    """The same for this user's temporary folder."""
    try:
        return room("temporary folder", Path(tempfile.gettempdir()))
    except OSError as error:
        return f"no usable temporary folder: {error.strerror}; set TMPDIR"
