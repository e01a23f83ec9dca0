"""The program `master-bridge`: its commands; what sshd runs for an agent's key does not wait for the libraries of all.

They take 0.2 s of CPU time to import, of about 0.4 s that an agent's return by ssh takes in all (0.05 s without them).
On a busy machine that is a second, and a bridge waits five for an agent whose link was lost (contracts.timing.GRACE).
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Run the command that the program's arguments name."""
    if len(sys.argv) == 6 and (sys.argv[1], sys.argv[2], sys.argv[4]) == ("serve-agent", "--master-dir", "--account"):
        from master_bridge.ssh.serving import serve

        serve(Path(sys.argv[3]), sys.argv[5])
    from master_bridge.cli import main as commands

    commands()
