"""What builds of these tests run. A program of its own: `python work.py MARKS NAME --seconds S --size BYTES`.

It appends `NAME begin AGENT TIME` and `NAME end AGENT TIME` to the file MARKS, each in one write, so that the file
shows how often every command ran, where and when. Between the two it prints `text(size)`, evenly over `seconds`.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator

#: Every line has this many bytes, its end included, and begins with its number.
LINE = 100
_FILL = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ" * 2


def line(number: int) -> bytes:
    return f"{number:010d} {_FILL[number % 26 :]}"[: LINE - 1].encode() + b"\n"


def pieces(size: int, piece: int = 1024 * 1024) -> Iterator[bytes]:
    """What a command prints: about `size` bytes in whole lines, some lines at a time."""
    count = size // LINE
    step = max(1, piece // LINE)
    for first in range(0, count, step):
        yield b"".join(line(number) for number in range(first, min(count, first + step)))


def mark(path: str, *words: str) -> None:
    """One line in one write to a file opened for appending: never torn, never over another's."""
    where = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(where, (" ".join(words) + f" {os.environ.get('FAULTS_AGENT', '-')} {time.time():.3f}\n").encode())
    finally:
        os.close(where)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("marks")
    parser.add_argument("name")
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--size", type=int, default=0)
    parser.add_argument("--tick", help="append to this file every 20 ms while it runs")
    parser.add_argument("--until", help="do not end before this file exists")
    options = parser.parse_args()
    mark(options.marks, options.name, "begin")
    began = time.monotonic()
    printed = 0
    for piece in pieces(options.size, piece=max(LINE, min(65536, options.size // 200 or LINE))):
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        printed += len(piece)
        _wait_until(began + options.seconds * printed / max(1, options.size), options)
    _wait_until(began + options.seconds, options)
    while options.until and not os.path.exists(options.until):
        _wait_until(time.monotonic() + 0.2, options)
    mark(options.marks, options.name, "end")


def _wait_until(moment: float, options: argparse.Namespace) -> None:
    while (left := moment - time.monotonic()) > 0:
        if options.tick:
            mark(options.tick, options.name, "tick")
        time.sleep(min(left, 0.02 if options.tick else left))


if __name__ == "__main__":
    main()
