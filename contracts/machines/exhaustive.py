"""`assert_never` for every supported Python: mypy refuses a dispatch that leaves a member of a union out."""

from __future__ import annotations

import sys

if sys.version_info >= (3, 11):
    from typing import assert_never as assert_never
else:
    from typing import NoReturn

    def assert_never(arg: NoReturn, /) -> NoReturn:
        """What the type checker has proven not to happen. Raises AssertionError where it happens all the same."""
        raise AssertionError(f"nobody deals with {arg!r}")
