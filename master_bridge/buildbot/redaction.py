"""Secrets out of a command's output, wherever its pieces happen to end. Pure.

Buildbot replaces secrets in each piece that it is given, so one that lies across two pieces, or in a line that is cut,
would be stored. So they are replaced here first, in the text as the command wrote it.
"""

from __future__ import annotations

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
        across = [
            at + len(secret)
            for secret in secrets
            if 0 <= (at := text.find(secret, max(0, border - len(secret) + 1), border + len(secret) - 1)) < border
            and at + len(secret) > border
        ]
        if not across:
            return border
        border = _unfinished(text, max(across), secrets)  # that one is complete: what may begin is behind it


def _unfinished(text: str, start: int, secrets: Mapping[str, str]) -> int:
    """Where the longest end of `text`, from `start` on, lies that is the beginning of a secret; its length if none."""
    border = len(text)
    for secret in secrets:
        for at in range(max(start, len(text) - len(secret) + 1), border):
            if secret.startswith(text[at:]):
                border = at
                break
    return border
