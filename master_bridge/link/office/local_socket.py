"""The socket in a master's folder, and the line with which a program of its user brings an agent's connection to it.

Standard library only: a process of it runs for each agent that comes by ssh.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path

from contracts.errors import ContractError
from contracts.operations.stdio_relay import connect

#: In the master's folder.
SOCKET_FILE = "agents.sock"
#: The first line: the account, and where its connection comes from.
INTRODUCTION = re.compile(rb"ssh ([A-Za-z0-9_-]{1,128}) ([!-~]{1,255})\n")
INTRODUCTION_MAX = 512


class NoMaster(ContractError):
    """Nobody listens at the socket; the text is for people."""


def introduction(account: str, origin: str) -> bytes:
    """The first line. `origin`: an address or a host's name, for people. Raises `NoMaster` for what is no account."""
    line = f"ssh {account} {origin}\n".encode("ascii", "replace")
    if not INTRODUCTION.fullmatch(line):
        raise NoMaster(f"account {account!r} from {origin!r}: an account's name has letters, digits, '-' and '_' only")
    return line


def join(folder: Path, account: str, origin: str) -> socket.socket:
    """A connection to the master in this folder, as an agent's. Raises `NoMaster`."""
    first = introduction(account, origin)
    try:
        line = connect(folder / SOCKET_FILE)
        line.sendall(first)
    except (FileNotFoundError, ConnectionError):
        reason = 'no master that listens for its agents itself runs there (util.Broker(url="ssh:"))'
        raise NoMaster(f"{folder}: {reason}") from None
    except OSError as error:
        raise NoMaster(f"{folder / SOCKET_FILE}: {error.strerror or error}") from None
    return line
