"""Messages whose properties cannot be read: they are delivered without any, so that they do not cost the connection.

pika 1.3 and 1.4 read a header's number with `int()` and its time with `datetime` (`pika/data.py`, `decode_value`), so
NaN, an infinity, a time after the year 9999 or a type that it does not know raise where frames are read: the connection
ends, the broker delivers the message again, and so on for as long as it lies there. Any account can send such a header.
What is no UTF-8 pika gives as bytes, names of headers too, and tables in tables until Python's stack is full: whoever
works with those later would raise (`contracts.plain_headers`).
Without properties a message has no `user_id`, and so is not believed (rule 22).
"""

from __future__ import annotations

from typing import Any

from pika import spec

from contracts.plain_headers import is_plain


class Properties(spec.BasicProperties):
    """As pika has them, or none at all."""

    def decode(self, encoded: bytes, offset: int = 0) -> Any:
        try:
            super().decode(encoded, offset)
            readable = is_plain(self.headers) and not any(isinstance(value, bytes) for value in vars(self).values())
        except Exception:
            readable = False
        if not readable:
            self.__init__()  # type: ignore[misc]  # what was read of them before the error is forgotten
        return self


def tolerate_unreadable() -> None:
    """pika's table of the properties' classes (`pika/spec.py`) names ours from now on."""
    spec.props[spec.BasicProperties.INDEX] = Properties
