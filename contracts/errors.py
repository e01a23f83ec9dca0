"""Errors that both sides raise. Each docstring says what happened; the message names the thing and the remedy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ContractError(Exception):
    """Base of every error of this package."""


class BadMessage(ContractError):
    """A message from the broker is not one of the protocol's."""


class UnknownVersion(BadMessage):
    """A message is written in a version of the protocol that this program does not know.

    `fields`: its JSON, unchecked; `versions`: those it is right in, for people ("2 to 3").
    """

    def __init__(self, text: str, fields: Mapping[str, Any] | None = None, versions: str = "") -> None:
        super().__init__(text)
        self.fields = fields or {}
        self.versions = versions


class TooLarge(ContractError):
    """A message is larger than its reader takes: whoever makes it has to make it smaller, or say that it cannot."""


class NotBelieved(ContractError):
    """A message came by a way, or from an account, that proves nothing of its sender."""


class BadName(ContractError):
    """A name cannot be used in a routing key or a queue name."""


class BadRequirement(ContractError):
    """A requirement cannot be read; the message points at the character."""


class BadSeal(ContractError):
    """What is sealed cannot be opened, or nothing can be sealed with what was given; the message says why."""
