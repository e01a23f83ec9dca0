"""Tells systemd how the agent is (sd_notify(3)): ready, its state in words, and that it is not stuck.

Own code because it is a line to a socket, and the packages for it were last released in 2017 or bind a C library.
"""

from __future__ import annotations

import os
import socket


def notify(**fields: object) -> bool:
    """Send `READY=1`, `STATUS=…` and so on; False where no service manager listens, or it cannot be told."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    text = "\n".join(f"{name}={value}" for name, value in fields.items())
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
            # Does not wait for a service manager that reads nothing.
            line.setblocking(False)
            line.sendto(text.encode("utf-8", "replace"), "\0" + address[1:] if address.startswith("@") else address)
    except (OSError, ValueError):
        return False  # it went away, or its address is none; nothing depends on it
    return True


def manages_this_process() -> bool:
    """Is it the main process of a service? Then it is started again at once, if it is killed."""
    return os.environ.get("NOTIFY_SOCKET", "") != "" or os.environ.get("SYSTEMD_EXEC_PID") == str(os.getpid())


def watchdog_interval() -> float | None:
    """Seconds between two signs of life that systemd wants: half of its limit; None: it does not watch."""
    try:
        limit = int(os.environ.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()) or limit <= 0:
        return None
    return limit / 2e6
