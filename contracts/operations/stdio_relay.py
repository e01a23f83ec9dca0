"""A process's standard input and output joined to a unix socket, until either ends. Standard library only.

What `sshd` starts on one machine and `ssh` on another is such a process; the frames go through it unread.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from pathlib import Path

from contracts.operations.socket_path import short_path

#: Bytes that are read at once.
BLOCK = 64 * 1024
#: Seconds for what was said last to get through once one end is closed.
LINGER = 5.0


def connect(path: Path) -> socket.socket:
    """To a socket at this path. Raises OSError."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        line.settimeout(LINGER)
        with short_path(path) as short:
            line.connect(short)
        line.settimeout(None)
    except BaseException:
        line.close()
        raise
    return line


def relay(line: socket.socket, incoming: int = 0, outgoing: int = 1) -> None:
    """Returns when one of them has ended. Where nobody reads what was said last, or says more, `LINGER` later."""
    over = threading.Event()

    def read_input() -> None:
        try:
            while data := os.read(incoming, BLOCK):
                line.sendall(data)
            line.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the other direction ends, too
        over.wait(LINGER)
        over.set()

    def write_output() -> None:
        try:
            while data := line.recv(BLOCK):
                while data:
                    data = data[os.write(outgoing, data) :]
        except OSError:
            pass  # nobody reads what is said
        over.set()

    def watch() -> None:
        closed = select.poll()
        closed.register(line, 0)  # POLLHUP is always told: also while nobody reads our output
        closed.poll()
        over.wait(LINGER)
        over.set()

    for part in (read_input, write_output, watch):
        threading.Thread(target=part, daemon=True).start()
    over.wait()
    line.close()
