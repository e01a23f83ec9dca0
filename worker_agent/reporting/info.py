"""What Buildbot wants to know of this worker, as Buildbot's own worker tells it (buildbot_worker/base.py)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from contracts.messages import WorkerInfo
from contracts.operations.program_version import version
from worker_agent.keeper.processes.environment import command_environment
from worker_agent.keeper.second_user import SecondUser
from worker_agent.keeper.wire import command_versions
from worker_agent.program.settings import Settings


class Information:
    """Makes the `WorkerInfo` of each slot; all but the folder is the same for all.

    What settings say of admin, host and access_uri counts before the files `info/admin` and so on.
    """

    def __init__(
        self, settings: Settings, slot_folder: Callable[[str, int], str], user: SecondUser | None = None
    ) -> None:
        """`slot_folder`: of a master and a slot, where builds run. `user`: whom commands run as; None: us."""
        self._settings = settings
        self._slot_folder = slot_folder
        self._common = WorkerInfo(
            version=version(),
            system=os.name,
            basedir="",
            numcpus=_cpus(),
            # Shown on Buildbot's pages, so without what is the agent's own: broker address and password.
            environ=command_environment(os.environ) if user is None else user.environ(os.environ),
            worker_commands=command_versions(),
            encoding=settings.encoding,
        )
        self.tell({})

    def tell(self, facts: Mapping[str, str]) -> None:
        """What the machine tells (`facts.facts`), from now on."""
        settings = self._settings
        self._common = self._common.model_copy(
            update={
                "admin": settings.admin or facts.get("admin"),
                "host": settings.host or facts.get("host") or settings.name,
                "access_uri": settings.access_uri or facts.get("access_uri"),
                "facts": dict(facts),
            }
        )

    def __call__(self, master: str, slot: int) -> WorkerInfo:
        return self._common.model_copy(update={"basedir": self._slot_folder(master, slot)})


def _cpus() -> int:
    """Those that this process may use: a container may have fewer than the machine."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1
