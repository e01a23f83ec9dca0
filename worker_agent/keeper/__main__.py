"""`python -m worker_agent.keeper CONFIG [SOCKET]`; started by `client.Keeper.open`, not by people."""

from __future__ import annotations

import sys

from worker_agent.keeper.server import main

main(sys.argv[1:])
