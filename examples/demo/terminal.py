"""A picture of what a command prints on a terminal: an SVG, whose letters stay letters."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from examples.demo.errors import DemoError

#: Orders to a terminal that are no colours, as ECMA-48 writes them: where to write, what to hide.
_ORDERS = re.compile(r"\x1b(?:\[[?0-9;]*[A-Za-ln-z]|\][^\x07]*\x07|[=>()][0-9A-B]?)")
TIMEOUT = 120.0


def printed(command: Sequence[str], environment: Mapping[str, str], columns: int) -> str:
    """What `command` writes to a terminal of `columns` columns, colours included. Raises `DemoError` when it fails."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    variables = {**os.environ, **environment, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
        variables.pop(name, None)
    with open(ours, "rb", buffering=0) as terminal:
        process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=variables)
        os.close(theirs)
        text = b""
        try:
            while data := _read(terminal):
                text += data
            status = process.wait(TIMEOUT)
        finally:
            process.kill()
            process.wait()
    said = text.decode(errors="replace").replace("\r\n", "\n")
    if status:
        raise DemoError(f"{' '.join(command)} ended with status {status}:\n{said}")
    return _ORDERS.sub("", said)


def _read(terminal: io.RawIOBase) -> bytes:
    try:
        return terminal.read(65536) or b""
    except OSError:  # Linux says so that nobody has the other end any more
        return b""


def draw(command: str, text: str, picture: Path, columns: int) -> None:
    """An SVG of `text` below the `command` that printed it, without the path that it was started by."""
    draw_session([(command, text)], picture, columns)


def draw_session(commands: Sequence[tuple[str, str]], picture: Path, columns: int) -> None:
    """An SVG of several commands, one after the other, each with the text that it printed."""
    console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for command, text in commands:
        console.print(Text.assemble(("$ ", "dim"), (command, "bold")))
        console.print(Text.from_ansi(text.rstrip()))
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_text(console.export_svg(title="", unique_id="terminal"), encoding="utf-8")
