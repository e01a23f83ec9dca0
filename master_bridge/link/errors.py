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


class Mismatch(LinkError):
    """A queue or exchange exists with other settings than ours, and cannot be used as it is (406, "inequivalent")."""


class NotDeclared(LinkError):
    """The broker does not take a declaration: what was to be declared is not there (406, "invalid"; 405, locked)."""
