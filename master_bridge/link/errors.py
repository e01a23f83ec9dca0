"""Errors of the link. Each says what happened, to which thing, and what to do next."""

from __future__ import annotations


class LinkError(Exception):
    """Base of the link's errors."""


class BadSettings(LinkError):
    """The broker cannot be reached as configured; the message names the argument."""


class ChannelLost(LinkError):
    """The broker closed the channel; what was asked of it did not happen."""


class DuplicateMaster(LinkError):
    """Another master of this name consumes its claims queue (rule 4)."""


class QueueMismatch(LinkError):
    """A queue or exchange exists with other settings than ours."""
