"""Properties of AMQP that no client library would write: tables in tables, names that are no UTF-8, odd types.

AMQP 0-9-1, 4.2.5.5 and 4.2.6.1, with RabbitMQ's types (https://www.rabbitmq.com/amqp-0-9-1-errata).
"""

from __future__ import annotations

import struct
from typing import Any

import pika

#: Bits of the property flags, with the name of the property and whether it is a short string, an octet or 64 bits.
_FLAGS = {
    "content_type": (15, "s"), "content_encoding": (14, "s"), "headers": (13, "F"), "delivery_mode": (12, "B"),
    "priority": (11, "B"), "correlation_id": (10, "s"), "reply_to": (9, "s"), "expiration": (8, "s"),
    "message_id": (7, "s"), "timestamp": (6, "Q"), "type": (5, "s"), "user_id": (4, "s"), "app_id": (3, "s"),
}  # fmt: skip


def field(name: bytes, value: bytes) -> bytes:
    """One field of a table; `value` with its type's letter."""
    return bytes([len(name)]) + name + value


def table(*fields: bytes) -> bytes:
    """As a value, with its letter."""
    inside = b"".join(fields)
    return b"F" + struct.pack(">I", len(inside)) + inside


def array(*values: bytes) -> bytes:
    inside = b"".join(values)
    return b"A" + struct.pack(">I", len(inside)) + inside


def text(value: bytes) -> bytes:
    return b"S" + struct.pack(">I", len(value)) + value


def deep(depth: int, *, arrays: bool) -> bytes:
    """A value with `depth` tables or arrays around it, made from the inside: no stack is that high."""
    value = text(b"x")
    for _ in range(depth):
        value = array(value) if arrays else table(field(b"a", value))
    return value


#: Values that AMQP has and programs stumble over.
VALUES: dict[str, bytes] = {
    "deep tables": deep(5000, arrays=False),
    "deep arrays": deep(5000, arrays=True),
    "tables of a middle depth": deep(400, arrays=False),
    "arrays of a middle depth": deep(300, arrays=True),
    "wide": table(*(field(b"%d" % number, b"V") for number in range(5000))),
    "a decimal": b"D" + bytes([255]) + struct.pack(">I", 2**32 - 1),
    "a time after the year 9999": b"T" + struct.pack(">Q", 2**63),
    "nothing": b"V",
    "bytes": b"x" + struct.pack(">I", 3) + b"\xff\xfe\x00",
    "a text that is no UTF-8": text(b"\xff\xfe"),
    "a number": b"l" + struct.pack(">q", -(2**63)),
    "NaN": b"d" + struct.pack(">d", float("nan")),
    "an infinity": b"d" + struct.pack(">d", float("inf")),
    "a table with bytes for a name": table(field(b"\xff\xfe", b"V")),
    "an array of all kinds": array(b"V", b"t\x01", b"b\xff", table(), array(), text(b"")),
}


class RawProperties(pika.BasicProperties):
    """`fields` of the header table as bytes; `more`: other properties, short strings as bytes, numbers as numbers."""

    def __init__(self, *fields: bytes, **more: Any) -> None:
        super().__init__()
        self._raw = {"headers": table(*fields)[1:], **more} if fields else dict(more)

    def encode(self) -> list[bytes]:
        flags, pieces = 0, []
        for name, (bit, kind) in _FLAGS.items():
            value = self._raw.get(name)
            if value is None:
                continue
            flags |= 1 << bit
            if kind == "s":
                pieces.append(bytes([len(value)]) + value)
            else:
                pieces.append(value if kind == "F" else struct.pack(f">{kind}", value))
        return [struct.pack(">H", flags), *pieces]


def hostile(user: bytes) -> dict[str, RawProperties]:
    """By what is odd about them. `user`: the account that publishes them."""
    found = {
        f"{name} as {value}": RawProperties(field(name.encode("latin-1"), VALUES[value]), user_id=user)
        for name in ("bb", "bb-stamp", "bb-reason", "bb-agent", "bb-priority", "x", "\xff")
        for value in VALUES
    }
    long = b"\x1b]0;x\x07" * 36
    found |= {
        f"{name} {value[:9]!r}": RawProperties(user_id=user, **{name: value})
        for name in ("content_type", "content_encoding", "correlation_id", "reply_to", "message_id", "type", "app_id")
        for value in (b"\xff\xfe", long, b"")
    }
    found |= {"priority 255": RawProperties(user_id=user, priority=255)}
    return found | {"timestamp": RawProperties(user_id=user, timestamp=2**64 - 1)}
