"""How commands write to a terminal, or to whatever else takes what they say."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Iterable

import click


def use_any_encoding() -> None:
    """What standard output's encoding has not is escaped: `caf\\xe9`; a name is no reason to end."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def width() -> int | None:
    """Columns of the terminal; None where standard output is none: nothing is cut there."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def no_live_view() -> str | None:
    """Why this is no terminal to draw on again and again; None: it is one."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return "standard input and output are no terminal"
    if os.environ.get("TERM", "") in ("", "dumb", "unknown"):
        return f"TERM is {os.environ.get('TERM') or 'not set'}"
    encoding = sys.stdout.encoding
    return None if encoding.lower().replace("-", "") == "utf8" else f"the locale's encoding is {encoding}, not UTF-8"


def write(lines: Iterable[str]) -> None:
    """At once, so that nobody reads half of it."""
    click.echo("\n".join(lines))
