"""The protocol's sizes that the keeper needs. `contracts.timing` is plain numbers and imports nothing."""

from __future__ import annotations

from contracts.timing import EVENT_DATA_MAX, FILE_DATA_MAX

__all__ = ["EVENT_DATA_MAX", "FILE_DATA_MAX", "PULLS", "PULL_REPEAT", "PULL_SIZE"]

#: A download asks for its file in pieces of this size …
PULL_SIZE = FILE_DATA_MAX
#: … this many at a time, so that the way to the master and back is not waited for after each …
PULLS = 4
#: … and again for one that is not answered for this long (seconds): pulls and data are not journalled.
PULL_REPEAT = 5.0
