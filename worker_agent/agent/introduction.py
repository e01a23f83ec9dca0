"""Does what this agent tells of itself fit into a message? A master does not read a larger claim."""

from __future__ import annotations

from collections.abc import Callable

from contracts.codec import json_of
from contracts.messages import Capability, WorkerInfo
from contracts.timing import CLAIM_MAX

#: JSON bytes of capabilities and `WorkerInfo` together. The rest of a resume is for the commands that its session knows
#: (10,000 of them are some 1.2 MiB).
INTRODUCTION_MAX = CLAIM_MAX // 4


class Introduction:
    """Weighs what a claim says of the agent."""

    def __init__(
        self, worker_info: Callable[[str, int], WorkerInfo], capabilities: Callable[[], tuple[Capability, ...]]
    ) -> None:
        self._worker_info = worker_info
        self._capabilities = capabilities
        self._weighed: tuple[Capability, ...] | None = None
        self._reasons: tuple[str, ...] = ()

    def reasons(self) -> tuple[str, ...]:
        """Why this agent cannot introduce itself, for people; empty: it can. Cheap where nothing has changed."""
        capabilities = self._capabilities()
        if capabilities is not self._weighed:
            self._weighed = capabilities
            self._reasons = self._weigh(capabilities)
        return self._reasons

    def _weigh(self, capabilities: tuple[Capability, ...]) -> tuple[str, ...]:
        worker = self._worker_info("m", 0)
        environment = len(json_of(worker).encode())
        found = sum(len(json_of(capability).encode()) + 1 for capability in capabilities)
        if environment + found <= INTRODUCTION_MAX:
            return ()
        return (
            f"its claims would be too large to be read: {len(capabilities)} capabilities are {found} bytes, its "
            f"environment and what else it tells of itself {environment}; together at most {INTRODUCTION_MAX}",
        )
