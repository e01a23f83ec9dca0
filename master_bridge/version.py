"""The version of this program."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as _installed


def version() -> str:
    """As installed; "0" from a checkout that is not installed."""
    try:
        return _installed("buildbot-amqp")
    except PackageNotFoundError:
        return "0"
