"""Secrets out of a command's output, wherever its pieces happen to end. Pure.

Buildbot replaces secrets in each piece that it is given, so one that lies across two pieces, or in a line that is cut,
would be stored. So they are replaced here first, in the text as the command wrote it.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Mapping

#: secret -> what stands for it, as in Buildbot's `Properties._used_secrets`
Secrets = Callable[[], Mapping[str, str]]


class Redactor:
    """One stream. `feed` holds back an end that may be the beginning of a secret; `flush` gives it out."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._held = ""

    def feed(self, text: str) -> str:
        secrets = _with_terminal_line_ends(self._secrets())
        text = self._held + text
        border = _border(text, secrets)
        text, self._held = text[:border], text[border:]
        return _replace(text, secrets)

    def flush(self) -> str:
        held, self._held = self._held, ""
        return _replace(held, _with_terminal_line_ends(self._secrets()))


def _with_terminal_line_ends(secrets: Mapping[str, str]) -> dict[str, str]:
    """A terminal writes CR LF for each line end of a secret (a key file, say). Longest first, as Buildbot does it."""
    found = dict(secrets)
    found |= {secret.replace("\n", "\r\n"): name for secret, name in secrets.items() if "\n" in secret.strip("\n")}
    return {secret: found[secret] for secret in sorted(found, key=len, reverse=True) if secret}


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
        for at in range(max(start, len(text) - len(secret) + 1), border):
            if secret.startswith(text[at:]):
                border = at
                break
    return border
