"""What an operator's command cannot do, in words for people."""

from __future__ import annotations

from contracts.operations.broker_failure import BrokerFailure


class OperatingError(Exception):
    """The command could not be carried out; the message says on what, why, and what to do next."""


class Unreachable(OperatingError):
    """There is no connection to the broker, or it broke."""

    def __init__(self, failure: BrokerFailure) -> None:
        super().__init__(str(failure))
        self.failure = failure


class NotPermitted(OperatingError):
    """The broker account may not do this."""
