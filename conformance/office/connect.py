"""What `{connect}` runs: standard input and output, joined to the kit's socket. Standard library only."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from contracts.operations.stdio_relay import connect, relay

if __name__ == "__main__":
    try:
        relay(connect(Path(sys.argv[1])))
    finally:
        os._exit(0)  # a thread may wait for a peer that reads no more
