"""Secrets out of a command's output and out of what is said of it, wherever its pieces happen to end. Pure.

Buildbot replaces secrets in each piece that it is given, so one that lies across two pieces, or in a line that is cut,
would be stored. And it replaces a secret as it is only: an agent writes a command's arguments as a Python list of
bytes, in which a line end, a backslash, a quote or a letter beyond ASCII look different. So secrets are replaced here
first, in the text as it was written, and in each form in which we write them (`secret_forms`).
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Mapping

from master_bridge.buildbot.output.secret_forms import written

#: secret -> what stands for it, as in Buildbot's `Properties._used_secrets`
Secrets = Callable[[], Mapping[str, str]]


class Redactor:
    """One stream. `feed` holds back an end that may be the beginning of a secret; `flush` gives it out."""

    def __init__(self, secrets: Secrets, encoding: str = "utf-8") -> None:
        self._secrets = secrets
        self._encoding = encoding
        self._held = ""

    def feed(self, text: str) -> str:
        """`text` with secrets replaced, but for an end that may be the beginning of one."""
        text = self._held + text
        secrets = written(self._secrets(), self._encoding)
        border = _border(text, secrets)
        text, self._held = text[:border], text[border:]
        return _replace(text, secrets)

    def flush(self) -> str:
        """What was held back: nothing follows."""
        held, self._held = self._held, ""
        return _replace(held, written(self._secrets(), self._encoding))


def redact(text: str, secrets: Mapping[str, str], encoding: str = "utf-8") -> str:
    """A text that is whole."""
    return _replace(text, written(secrets, encoding))


def _replace(text: str, secrets: Mapping[str, str]) -> str:
    for secret, name in secrets.items():
        text = text.replace(secret, name)
    return text


def _border(text: str, secrets: Mapping[str, str]) -> int:
    """Up to where nothing that comes can make a secret of it."""
    border = _unfinished(text, 0, secrets)
    while True:
        across = [end for start, end in _matches(text, secrets) if start < border < end]
        if not across:
            return border
        border = _unfinished(text, max(across), secrets)  # that one is complete: what may begin is behind it


def _matches(text: str, secrets: Mapping[str, str]) -> list[tuple[int, int]]:
    """What `_replace` replaces, (start, end): of matches that overlap, as in "bbb" for "bb", the first one only."""
    found: list[tuple[int, int]] = []  # sorted
    for secret in secrets:
        of_this: list[tuple[int, int]] = []
        at = text.find(secret)
        while at >= 0:
            end = at + len(secret)
            place = bisect(found, (at, end))
            free = (not place or found[place - 1][1] <= at) and (place == len(found) or found[place][0] >= end)
            if free:
                of_this.append((at, end))
            at = text.find(secret, end if free else at + 1)
        found = sorted(found + of_this)
    return found


def _unfinished(text: str, start: int, secrets: Mapping[str, str]) -> int:
    """Where the longest end of `text`, from `start` on, lies that is the beginning of a secret; its length if none."""
    border = len(text)
    for secret in secrets:
        at = text.find(secret[0], max(start, len(text) - len(secret) + 1), border)
        while at >= 0:
            if secret.startswith(text[at:]):
                border = at
                break
            at = text.find(secret[0], at + 1, border)
    return border
