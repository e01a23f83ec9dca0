"""Text as UTF-8 can carry it. Standard library only.

Python keeps bytes of the system's that are no UTF-8 (a variable, a file's name, an argument) as lone surrogates
(PEP 383), and JSON may name some. No message, log or file of ours can carry them: a reader gets U+FFFD in their place.
"""

from __future__ import annotations

import re
from typing import Any

_LONE = re.compile("[\ud800-\udfff]")


def readable(text: str) -> str:
    """`text` with U+FFFD for each character that UTF-8 has not."""
    return text if text.isascii() else _LONE.sub("\ufffd", text)


def is_readable(text: str) -> bool:
    """Can UTF-8 carry all of it?"""
    return text.isascii() or _LONE.search(text) is None


def has_lone(value: Any) -> bool:
    """Is there a text in the JSON value `value`, keys of objects included, that UTF-8 cannot carry?"""
    if isinstance(value, str):
        return not is_readable(value)
    if isinstance(value, dict):
        return any(has_lone(part) for item in value.items() for part in item)
    return isinstance(value, (list, tuple)) and any(has_lone(item) for item in value)


def readable_values(value: Any) -> Any:
    """The JSON value `value` with all its texts `readable`."""
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, dict):
        return {readable_values(key): readable_values(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [readable_values(item) for item in value]
    return value
