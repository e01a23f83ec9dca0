"""The program that a keeper starts when its main process was killed: it ends what runs, and tells the masters at once.

A keeper has no link of its own. Without that program its master would wait for the whole grace, while the command ran
on. Who the program is, the main process says; it is `worker-agent give-back` with the settings of that agent, and it
ends at once where another main process has come meanwhile.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker_agent.keeper.processes.reaper import not_subreaper

#: Seconds without a main process after which it starts. Another one, which takes the session up, needs half a second
#: until it waits for the state folder; this program takes as long to come to it, then makes a link, and yields.
GIVE_BACK_AFTER = 0.5


@dataclass(frozen=True, kw_only=True)
class Program:
    """A command line, its whole environment, and the folder that it starts in.

    The environment has the broker's password: it is kept by processes of the agent's own user only.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: str

    def start(self) -> None:
        """As nobody's child: the end of a session ends all that descends from its keeper. Raises OSError."""
        with not_subreaper():
            subprocess.run(
                ["/bin/sh", "-c", '"$@" &', "sh", *self.command],
                env=dict(self.environment),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                check=False,
            )
