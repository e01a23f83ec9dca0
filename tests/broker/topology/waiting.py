"""Wait for a condition with a deadline, while the client under test is served."""

from __future__ import annotations

import time
from collections.abc import Callable

from pika.adapters.blocking_connection import BlockingChannel

DEADLINE = 60.0


def wait_for(condition: Callable[[], object], what: str, *, channel: BlockingChannel | None = None) -> None:
    """Serve the channel's connection until `condition()` is true; fail naming `what` after a minute."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"waited {DEADLINE:.0f} s for: {what}"
        if channel:
            channel.connection.process_data_events(time_limit=0.05)
        else:
            time.sleep(0.05)
