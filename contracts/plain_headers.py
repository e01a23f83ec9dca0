"""Headers of AMQP that programs can compute with. Standard library only.

An AMQP table may have names that are no UTF-8, and tables in tables as deep as a frame is long. Both client libraries
hand such names on as bytes, or raise, and whatever walks the tables then (comparing, copying, writing a line of a log)
raises where nobody foresaw it. None of ours are like that, nor are RabbitMQ's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Tables and arrays in one another. RabbitMQ's `x-death` is an array of tables that hold arrays of texts.
DEPTH_MAX = 8


def is_plain(headers: Mapping[Any, Any] | None) -> bool:
    """Are all names text, and the values nested at most `DEPTH_MAX` deep?"""
    left: list[tuple[Any, int]] = [(headers or {}, 0)]
    while left:
        value, depth = left.pop()
        if isinstance(value, Mapping):
            if not all(isinstance(name, str) for name in value):
                return False
            inner = list(value.values())
        elif isinstance(value, (list, tuple)):
            inner = list(value)
        else:
            continue
        if depth > DEPTH_MAX:
            return False
        left += ((each, depth + 1) for each in inner)
    return True
