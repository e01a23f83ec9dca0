"""What each agent imports: for the process that agents are forked from only."""

from __future__ import annotations

import gc

from worker_agent.program.left_out import leave_out

leave_out()  # as `worker_agent.__main__` does

from worker_agent.agent import loop  # noqa: E402  # after that
from worker_agent.keepers import starting  # noqa: E402
from worker_agent.link.amqp import connected  # noqa: E402
from worker_agent.program import cli, run  # noqa: E402

IMPORTED = (cli, connected, loop, run, starting)
gc.collect()
gc.freeze()  # or the first round of each fork's collector copies all that it shares
