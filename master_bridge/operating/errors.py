"""What an operator's command cannot do, in words for people."""

from __future__ import annotations


class OperatingError(Exception):
    """The command could not be carried out; the message says on what, why, and what to do next."""


class NotPermitted(OperatingError):
    """The broker account may not do this."""
