"""The version of what is installed: of both programs, the kit and the pages."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as _installed


def version() -> str:
    """As installed; "0" from a checkout that is not installed."""
    try:
        return _installed("buildbot-amqp")
    except PackageNotFoundError:
        return "0"
