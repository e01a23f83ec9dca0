"""Memory that a message used is kept for the next one, where the C library is glibc.

By default glibc takes blocks of 128 KiB and more from the system one by one, and gives back what is free at the end of
its heap beyond twice the largest such block. A piece of a file is 1 MiB and exists in two or three copies on its way:
each would come in fresh pages, which the kernel has to clear, 275 MB of them for an upload of 128 MiB, half its cost.
Source: mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD.
"""

from __future__ import annotations

import ctypes
import sys

_MEBIBYTE = 1024 * 1024
#: Bytes from which on a block is the system's again as soon as it is free.
LARGE = 4 * _MEBIBYTE
#: Bytes at the end of the heap that are kept for what comes next.
KEPT = 16 * _MEBIBYTE
#: Seconds between two times at which free memory is given back. Of what builds without a pause between them leave free
#: ever more cannot be used again: an agent grew by a megabyte an hour.
GIVE_BACK_EVERY = 60.0

#: malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

_libc = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
#: None for other C libraries: musl lacks these functions, and has habits of its own.
_glibc = _libc if hasattr(_libc, "mallopt") and hasattr(_libc, "malloc_trim") else None


def keep() -> None:
    """From now on, for this whole process."""
    if _glibc is not None:
        _glibc.mallopt(_M_MMAP_THRESHOLD, LARGE)
        _glibc.mallopt(_M_TRIM_THRESHOLD, KEPT)


def give_back() -> None:
    """All that is free now, wherever it lies. Takes an agent a millisecond; what comes next needs fresh pages."""
    if _glibc is not None:
        _glibc.malloc_trim(0)
