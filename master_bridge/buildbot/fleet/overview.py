"""What a master's requests do, as a message to the fleet. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from contracts.messages import ExpectedStart, Work, WorkView
from contracts.operations.program_version import version
from master_bridge.core.machine import BridgeMachine

#: Requests in one message: about 200 KiB.
SHOWN = 1000


def work(
    machine: BridgeMachine,
    master: str,
    incarnation: str,
    wall: Callable[[float], float],
    expected: Mapping[str, ExpectedStart],
) -> Work:
    """The oldest `SHOWN` requests; `wall` makes seconds since the epoch of the machine's seconds.

    `expected`: request -> when it will start.
    """
    views = sorted(machine.requests(), key=lambda view: view.since)
    return Work(
        master=master,
        incarnation=incarnation,
        now=time.time(),
        version=version(),
        requests=tuple(
            WorkView(
                request=view.request,
                title=view.title,
                kind=view.kind or "build",
                signature=view.signature,
                state=view.state,
                since=wall(view.since),
                session=view.session,
                agent=view.agent,
                instance=view.instance,
                lives=view.lives,
                expected=expected.get(view.request) if view.session is None else None,
            )
            for view in views[:SHOWN]
        ),
        more=max(0, len(views) - SHOWN),
    )
