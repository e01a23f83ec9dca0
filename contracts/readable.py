"""Text as UTF-8 can carry it, and as people may see it. Standard library only.

Python keeps bytes of the system's that are no UTF-8 (a variable, a file's name, an argument) as lone surrogates
(PEP 383), and JSON may name some. No message, log or file of ours can carry them: a reader gets U+FFFD in their place.

What others wrote may also be orders to a terminal (its title, its clipboard), turn the direction of what is read, or
look like another line. `shown` is the one way of all foreign text to a terminal, a page, a log line or a metric's
label; `moment` and `finite` are that of foreign numbers.
"""

from __future__ import annotations

import math
import re
from typing import Any

#: Characters that are shown of one text.
SHOWN_MAX = 1000
#: The last second of the year 9998: what `time.localtime` and `datetime` take in every zone.
MOMENT_MAX = 253_370_764_799.0

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


def is_deeper(value: Any, limit: int) -> bool:
    """Are there more than `limit` objects and arrays in one another?"""
    left: list[tuple[Any, int]] = [(value, 0)]
    while left:
        each, depth = left.pop()
        inner = each.values() if isinstance(each, dict) else each if isinstance(each, (list, tuple)) else None
        if inner is None:
            continue
        if depth >= limit:
            return True
        left += ((item, depth + 1) for item in inner)
    return False


def duration(seconds: float) -> str:
    """`42 s`, `5 min`, `3.2 h`, `2.5 d`."""
    seconds = finite(seconds)
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} d"


def readable_values(value: Any) -> Any:
    """The JSON value `value` with all its texts `readable`."""
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, dict):
        return {readable_values(key): readable_values(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [readable_values(item) for item in value]
    return value


def shown(text: object, limit: int = SHOWN_MAX) -> str:
    """`text` on one line, in printable characters.

    `\\x1b` for an escape, `\\n` for an end of line, `\\u202e` for a mark of direction, `\\ud800` for half a character.
    What is longer than `limit` ends with "…".
    """
    whole = text if isinstance(text, str) else _text_of(text)
    cut = whole[:limit]
    line = cut if cut.isprintable() else "".join(each if each.isprintable() else _escaped(each) for each in cut)
    return line if len(line) <= limit and len(whole) <= limit else f"{line[: limit - 1]}…"


def shown_lines(text: str, limit: int = 100 * SHOWN_MAX) -> str:
    """Several lines of printable characters; tabs are spaces."""
    lines = text[:limit].expandtabs(4).split("\n")
    return "\n".join(shown(line, limit) for line in lines) + ("…" if len(text) > limit else "")


def finite(number: float, *, least: float = 0.0, most: float = MOMENT_MAX) -> float:
    """A number of somebody else's, as one that can be computed with and shown: within these bounds, NaN the least."""
    not_a_number = isinstance(number, float) and math.isnan(number)  # a whole number may be too large for isnan()
    return least if not_a_number else float(min(max(number, least), most))


def moment(seconds: float) -> float:
    """Seconds since the epoch that `time.localtime` takes."""
    return finite(seconds)


def _text_of(value: object) -> str:
    """What is no text should be a number or a name; whatever it is, a line about it is no reason to end."""
    try:
        return str(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, or lists in lists
        return f"({type(value).__name__})"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
