"""Statuses that say again what they said before: known by their bytes, so that JSON and model are read once.

A thousand agents tell 200 statuses a second, and all but a few of them differ from the one before by the time in them.
Of each status that is still kept somewhere (`FleetView`, the fleet's page: both bounded, rule 23) two digests are
remembered, and no more: of all of it, and of its capabilities. Those are the longest part and change least, and agents
on equal machines share them.
"""

from __future__ import annotations

import hashlib
import marshal
import re
from weakref import WeakValueDictionary

from contracts.codec import fields_of, message_of
from contracts.messages import AnyMessage, Status

#: Where the time stands in a status. No text in JSON holds this: a quotation mark in a text has a backslash before it.
_KEY = b'"now":'
#: A number as agents write it: no exponent, no sign, and what follows ends it.
_NUMBER = re.compile(rb"((?:0|[1-9][0-9]{0,15})(?:\.[0-9]{1,12})?)(?=[,}])")

#: Format of Python's `marshal` in which equal values have equal bytes, and others have others.
_EXACT = 2


class RepeatedStatuses:
    """What accounts said lately in statuses that are still in use."""

    def __init__(self) -> None:
        #: (`key_word` of the account, digest of all but the time) -> the last status of that kind
        self._known: WeakValueDictionary[tuple[str, bytes], Status] = WeakValueDictionary()
        #: digest of capabilities, as JSON has them -> a status that has those
        self._able: WeakValueDictionary[bytes, Status] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._known)

    def read(self, user: str, body: bytes) -> Status | None:
        """The status in `body`, told by `user`, if one was kept that differs by its time only. None: read the body.

        It shares its parts (slots, capabilities, queues) with the one that was kept.
        """
        parts = _parts(body)
        if parts is None:
            return None
        key = (user, _digest(parts))
        known = self._known.get(key)
        if known is None:
            return None
        status = known.model_copy(update={"now": float(parts[1])})
        self._known[key] = status  # the one before is let go by who keeps it
        return status

    def read_news(self, body: bytes) -> tuple[AnyMessage, bytes]:
        """Any other message without bulk data, as `decode` reads it, and what `keep` knows its capabilities by.

        A status shares them with one that was kept, if that has the same.
        """
        fields = fields_of(body)
        told = fields.get("capabilities") if fields.get("t") == "status" else None
        if not isinstance(told, list):
            return message_of(fields), b""
        able = hashlib.blake2b(marshal.dumps(told, _EXACT), digest_size=32).digest()
        known = self._able.get(able)
        if known is None:
            return message_of(fields), able
        message = message_of({**fields, "capabilities": known.capabilities})
        # the same tuple, not an equal one: whoever has looked at it need not look again
        return message.model_copy(update={"capabilities": known.capabilities}), able

    def keep(self, user: str, body: bytes, status: Status, able: bytes) -> None:
        """`body`, told by `user`, is `status`, which was read and is believed; `able`: as `read_news` said."""
        if able:
            self._able[able] = status
        parts = _parts(body)
        if parts is None or status.now != float(parts[1]):
            return
        before, _, after = parts
        # the time of the message itself: in no object or array within it, and named only once
        if before.count(b"{") == 1 and b"[" not in before and _KEY not in after:
            self._known[user, _digest(parts)] = status


def _parts(body: bytes) -> tuple[bytes, bytes, bytes] | None:
    """What stands before the first time, that time, and what stands after it."""
    at = body.find(_KEY)
    number = _NUMBER.match(body, at + len(_KEY)) if at >= 0 else None
    return None if number is None else (body[: number.start()], number[1], body[number.end() :])


def _digest(parts: tuple[bytes, bytes, bytes]) -> bytes:
    """Of two statuses that differ elsewhere than in this time it differs; nobody can make two that have one."""
    digest = hashlib.blake2b(parts[0], digest_size=32)
    digest.update(b"\0")  # no JSON holds this byte, so it is clear where the time stood
    digest.update(parts[2])
    return digest.digest()
