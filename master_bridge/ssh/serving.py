"""What sshd runs for an agent's key. Standard library only: each agent that comes back by ssh waits for its start."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

from contracts.operations.exit_status import ExitStatus
from contracts.operations.stdio_relay import relay
from master_bridge.link.office.local_socket import NoMaster, join


def serve(folder: Path, account: str) -> NoReturn:
    """Join standard input and output to the master in this folder, as the account's connection, until either ends.

    Exits with `ExitStatus.FAILED`, and says why, where no master that listens for its agents itself runs there.
    """
    origin = os.environ.get("SSH_CONNECTION", "").split()
    try:
        line = join(folder, account, origin[0] if origin else "this-machine")
    except NoMaster as error:
        sys.stderr.write(f"master-bridge: {error}\n")
        sys.exit(ExitStatus.FAILED)
    relay(line)
    os._exit(0)  # a thread may wait for a peer that reads no more
