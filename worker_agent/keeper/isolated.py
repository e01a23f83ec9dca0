"""How this package's own small programs are started: isolated, so that nothing around them changes what is run."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable


def isolated(code: str) -> list[str]:
    """A Python that finds `worker_agent` and psutil, and reads neither environment nor `site` (.pth files).

    Names of files mean to it what they mean here: PYTHONUTF8, which it does not read either, may have said how they are
    read. What is added to the list is `sys.argv[1:]`; its first is the process's name for people.
    """
    import psutil  # whoever only asks for settings does without

    ours = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    places = [ours, os.path.dirname(os.path.dirname(os.path.abspath(psutil.__file__)))]
    begin = f"import sys; sys.path += {places!r}; from worker_agent.keeper.left_out import leave_out; leave_out(); "
    return [sys.executable, "-I", "-S", "-X", f"utf8={sys.flags.utf8_mode}", "-c", begin + code]


def with_socket(start: Callable[[int], subprocess.Popen[bytes]]) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """A process that has one end of a socket pair, and the other end. Raises OSError: there is no process.

    `start` gets the descriptor of the process's end, which it passes on (`pass_fds`); here that end is closed.
    """
    ours, theirs = socket.socketpair()
    try:
        return start(theirs.fileno()), ours
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
