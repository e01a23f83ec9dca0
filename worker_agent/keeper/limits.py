"""The protocol's sizes that the keeper needs. `contracts.timing` is plain numbers and imports nothing."""

from __future__ import annotations

from contracts.timing import COMMAND_MAX, EVENT_DATA_MAX, FAILURE_MAX, FILE_DATA_MAX, LOG_NAME_MAX

__all__ = [
    "EVENT_DATA_MAX", "FAILURE_MAX", "FILE_DATA_MAX", "LOG_NAME_MAX", "PULLS", "PULLS_QUICK", "PULL_QUICK",
    "PULL_REPEAT", "PULL_SIZE", "UPDATE_MAX", "UPLOAD_AHEAD",
]  # fmt: skip

#: Bytes that an upload is ahead of what the master has stored: a file can be read later, and who stops a build waits
#: for all that was read. Several windows (contracts.timing.WINDOW_BYTES), so that no link waits for it.
UPLOAD_AHEAD = 8 * 1024 * 1024
#: JSON bytes of an update's value: as of a command, the rest of a message is for what is around it.
UPDATE_MAX = COMMAND_MAX

#: A download asks for its file in pieces of this size …
PULL_SIZE = FILE_DATA_MAX
#: … this many at a time, so that the way to the master and back is not waited for after each …
PULLS = 4
#: … and of this many while answers come within `PULL_QUICK` seconds: on one machine that is a tenth faster. Over a slow
#: line it would be no faster, and a Stop, which comes on the same way, would wait behind twice as much.
PULLS_QUICK = 8
PULL_QUICK = 0.25
#: … and again for one that is not answered for this long (seconds): pulls and data are not journalled.
PULL_REPEAT = 5.0
