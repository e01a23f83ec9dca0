"""Reads what the broker delivers. Pure: neither connection nor channel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from contracts.codec import decode
from contracts.errors import BadMessage, UnknownVersion
from contracts.messages import Offer
from contracts.timing import PARKINGS_MAX


class NotAnOffer(Exception):
    """What came from a `cap.*` queue is no offer; the message says what is wrong with it."""


class WrongVersion(Exception):
    """An offer of a protocol version that this agent does not know; the message names both versions."""


class Delivered(Protocol):
    """What of a delivery is read here."""

    body: bytes

    @property
    def headers(self) -> Mapping[str, Any]: ...


def read_offer(message: Delivered) -> Offer:
    """The offer in `message`. Raises `WrongVersion` or `NotAnOffer`."""
    try:
        offer = decode(message.body, message.headers)
    except UnknownVersion as error:
        raise WrongVersion(str(error)) from None
    except BadMessage as error:
        raise NotAnOffer(str(error)) from None
    if not isinstance(offer, Offer):
        raise NotAnOffer(f"a {offer.t} where an offer was expected")
    return offer


def too_long_parked(headers: Mapping[str, Any]) -> str | None:
    """Why an offer of an unknown version is no longer parked for somebody else; None: it may wait on.

    Counts the `x-death` entries of rejections: an agent parks by rejecting.
    """
    entries = headers.get("x-death")
    rejections = [
        entry
        for entry in (entries if isinstance(entries, (list, tuple)) else ())
        if isinstance(entry, Mapping) and entry.get("reason") == "rejected"
    ]
    times = deaths({"x-death": rejections})
    return f"parked {times} times, and no agent of its version took it" if times >= PARKINGS_MAX else None


def deaths(headers: Mapping[str, Any]) -> int:
    """How often a message was dead-lettered: the counts of its `x-death` header, summed.

    https://www.rabbitmq.com/docs/dlx — one table per queue and reason, each with a `count`. Written by the broker, yet
    a publisher may send anything under that name: what cannot be counted counts as one.
    """
    entries = headers.get("x-death")
    if not isinstance(entries, (list, tuple)):
        return 0 if entries is None else 1
    total = 0
    for entry in entries:
        count = entry.get("count") if isinstance(entry, Mapping) else None
        total += count if isinstance(count, int) and count > 0 else 1
    return total
