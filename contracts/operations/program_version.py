"""The version of what is installed: of both programs, the kit and the pages."""

from __future__ import annotations

from functools import cache
from importlib import metadata


@cache
def version() -> str:
    """As installed when this process asked first; "0" from a checkout that is not installed.

    Kept: it takes a millisecond to read, and what is installed meanwhile is not what runs.
    """
    try:
        return metadata.version("buildbot-amqp")
    except metadata.PackageNotFoundError:
        return "0"
