"""An operator's pause outlives the process: a machine that is being repaired takes no work after its reboot."""

from __future__ import annotations

import json
from pathlib import Path

import structlog

from worker_agent.keeper.files import read_text
from worker_agent.state_files import write_atomically

log = structlog.get_logger(__name__)


class PauseFile:
    """Kept in a file of the state folder while it lasts."""

    def __init__(self, state: Path) -> None:
        self._file = state / "paused.json"
        #: for people; None: not paused
        self.reason: str | None = self._read()

    def begin(self, reason: str) -> None:
        """From now on, also after restarts; `reason` is for people. A disk that takes nothing is logged."""
        self.reason = reason
        try:
            write_atomically(self._file, json.dumps({"reason": reason}) + "\n")
        except OSError as error:
            log.warning("pause_not_written", path=str(self._file), reason=str(error), effect="a restart would end it")

    def end(self) -> None:
        """From now on, also after restarts."""
        self.reason = None
        try:
            self._file.unlink(missing_ok=True)
        except OSError as error:
            log.warning("pause_not_removed", path=str(self._file), reason=str(error), effect="a restart would pause it")

    def _read(self) -> str | None:
        try:
            return str(json.loads(read_text(self._file))["reason"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            log.warning("pause_unreadable", path=str(self._file), reason=str(error))
            return "asked by an operator"
