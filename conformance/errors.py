"""How the kit fails: the agent broke a requirement, or the kit was asked for what it cannot do."""

from __future__ import annotations

from contracts.messages import Message


class BadOptions(Exception):
    """The kit cannot run as it is asked to; the message names the option and the remedy."""


class QueueInUse(BadOptions):
    """The kit's queue is somebody else's."""


class Violated(Exception):
    """The agent broke a requirement: what happened, and the message that shows it, where there is one."""

    def __init__(self, what: str, message: Message | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.message = message


def expect(condition: object, what: str, message: Message | None = None) -> None:
    """Raise `Violated` with `what` unless `condition` holds."""
    if not condition:
        raise Violated(what, message)
