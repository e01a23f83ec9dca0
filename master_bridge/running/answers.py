"""What became of a command on one agent. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from master_bridge.operating.errors import OperatingError


@dataclass(frozen=True, kw_only=True)
class AgentResult:
    """Of one agent. `account` is its verified account, `instance` its uuid.

    `agent` is its name as `fleet` shows it, with its instance behind it where several that were asked have that name.
    """

    agent: str
    account: str
    instance: str
    #: the command's own, 0 to 255: 128 and the signal's number where a signal ended it. None: nobody knows how it
    #: ended, or whether it ran, and `error` says why
    exit_status: int | None
    #: for people: why the command did not run, or not to its end
    error: str | None = None
    #: the agent was lost, or the operator left, while it ran
    is_lost: bool = False
    #: of `run`, where no `on_output` takes it
    stdout: bytes = b""
    stderr: bytes = b""
    #: of `ls`, sorted
    names: tuple[str, ...] = ()
    #: of `get`: the file or folder here
    path: Path | None = None
    #: of `put` and `get` of a folder, for people: what in it is not copied, and why
    left_out: tuple[str, ...] = ()
    #: from the agent's answer to the end of the command
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        """It ran to its end, with exit status 0."""
        return self.exit_status == 0 and self.error is None

    def check(self) -> AgentResult:
        """Itself. Raises `OperatingError` where it is not good."""
        if not self.is_good:
            said = self.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
            reason = self.error or f"exit status {self.exit_status}" + (f": {said}" if said else "")
            raise OperatingError(f"{self.agent}: {reason}")
        return self
