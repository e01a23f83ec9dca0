"""Which columns this machine's agent serves: the agent writes it into its state folder whenever it tells the fleet.

The broker is not asked: what agents tell the fleet of themselves is not for workers' accounts to read.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import structlog

from contracts import topology
from contracts.timing import STATUS_INTERVAL
from worker_agent.keeper.files import read_text
from worker_agent.state_files import StateUnreadable, write_atomically

log = structlog.get_logger(__name__)

FILE = "told.json"
#: Seconds between two looks at the file.
AGAIN = 0.1
#: An agent that is seen this long and still names no queue serves none (no master yet, or no column that fits).
SETTLED = 1.5 * STATUS_INTERVAL


class ToldFile:
    """`told.json` in the state folder: the queues of the last status that went to the broker, and until when they were
    those."""

    def __init__(self, state: Path) -> None:
        self._path = state / FILE
        self._failed: int | None = None
        self._queues: tuple[str, ...] | None = None
        self._written = 0.0

    def write(self, queues: tuple[str, ...], now: float) -> None:
        """`now`: seconds since the epoch. A disk that takes nothing is said once.

        The same queues are written again every `STATUS_INTERVAL`, by which a reader knows that the agent runs: a busy
        one tells its status several times a second, and one of a large fleet less often.
        """
        if queues == self._queues and 0 <= now - self._written < STATUS_INTERVAL * 0.9:
            return
        self._queues, self._written = queues, now
        try:
            write_atomically(self._path, json.dumps({"told": now, "queues": queues}) + "\n")
        except OSError as error:
            if error.errno != self._failed:
                log.warning("columns_not_written", path=str(self._path), reason=error.strerror,
                            effect="`worker-agent columns` does not see this agent")  # fmt: skip
            self._failed = error.errno
        else:
            self._failed = None

    def again(self, now: float) -> None:
        """The agent is there, and they are as they were told last, if any were."""
        if self._queues is not None:
            self.write(self._queues, now)


async def columns_of(state: Path, wait: float) -> tuple[str, ...] | None:
    """Signatures of the queues that the agent with this state folder serves; None: it told nothing for `wait` seconds.

    What it told before is not believed, it may have ended since. A status that names no queue is waited past for
    `SETTLED` seconds: the agent may be just starting. After that the answer is empty. Raises `StateUnreadable`.
    """
    before = _read(state)
    settled: float | None = None
    deadline = time.monotonic() + wait
    while (now := time.monotonic()) < deadline:
        text = _read(state)
        if text is not None and text != before:
            queues = _queues(text, state)
            settled = settled or now + SETTLED
            if queues or now >= settled:
                return tuple(topology.queue_signature(queue) or queue for queue in queues)
        await asyncio.sleep(AGAIN)
    return None


def _read(state: Path) -> str | None:
    """None: no agent has told anything yet."""
    path = state / FILE
    try:
        return read_text(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise StateUnreadable(f"{path} cannot be read ({getattr(error, 'strerror', None) or error})") from None


def _queues(text: str, state: Path) -> tuple[str, ...]:
    try:
        return tuple(str(queue) for queue in json.loads(text)["queues"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StateUnreadable(f"{state / FILE} cannot be read ({error}): the agent writes it anew") from None
