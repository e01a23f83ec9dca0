"""A shell command's arguments as Buildbot sends them: what is run, and what may be shown."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

#: A path of this machine may be no text (PEP 383); it comes to the program as it is.
_BYTES = "surrogateescape"


@dataclass(frozen=True, kw_only=True)
class CommandLine:
    """`argv` is run. `display`, `shown` (the text of the `argv:` header) and `shown_argv` have secrets replaced."""

    argv: list[bytes]
    shown_argv: list[bytes]
    display: str
    shown: str

    @classmethod
    def of(cls, command: Any, encoding: str) -> CommandLine:
        """From a string (for /bin/sh) or a list, whose items may be obfuscated: ["obfuscated", real, shown].

        Raises UnicodeEncodeError for text that `encoding` does not have.
        """
        if not isinstance(command, list):
            text = str(command).encode(encoding, _BYTES)
            argv = [b"/bin/sh", b"-c", text]
            return cls(argv=argv, shown_argv=argv, display=text.decode(encoding, "replace"), shown=str(text))
        real = [_text(_pick(item, 1)).encode(encoding, _BYTES) for item in command]
        fake = [_text(_pick(item, 2)).encode(encoding, _BYTES) for item in command]
        display = " ".join(shlex.quote(item.decode(encoding, "replace")) if item else '""' for item in fake)
        return cls(argv=real, shown_argv=fake, display=display, shown=str(fake))


def _pick(item: Any, which: int) -> Any:
    if isinstance(item, (list, tuple)) and len(item) == 3 and item[0] == "obfuscated":
        return item[which]
    return item


def _text(item: Any) -> str:
    return item if isinstance(item, str) else str(item)
