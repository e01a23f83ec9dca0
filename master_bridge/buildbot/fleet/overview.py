"""What a master's requests do, as a message to the fleet. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from contracts.messages import ExpectedStart, Work, WorkView
from contracts.operations.program_version import version
from master_bridge.core.machine import BridgeMachine
from master_bridge.core.records import RequestView
from master_bridge.fleet.columns import Waiter

#: Requests in one message: about 200 KiB.
SHOWN = 1000


def work(
    machine: BridgeMachine,
    master: str,
    incarnation: str,
    wall: Callable[[float], float],
    expected: Mapping[str, ExpectedStart],
    held_back: Sequence[Waiter] = (),
) -> Work:
    """The oldest `SHOWN` requests; `wall` makes seconds since the epoch of the machine's seconds.

    `expected`: request -> when it will start; `held_back`: those for which Buildbot lets nobody look yet.
    """
    views = sorted(machine.requests(), key=lambda view: view.since)
    back = sorted(held_back, key=lambda waiter: waiter.since)
    return Work(
        master=master,
        incarnation=incarnation,
        now=time.time(),
        version=version(),
        requests=(
            *(_view(view, wall, expected) for view in views[:SHOWN]),
            *(_held_back(waiter) for waiter in back[: max(0, SHOWN - len(views))]),
        ),
        more=max(0, len(views) + len(back) - SHOWN),
    )


def _view(view: RequestView, wall: Callable[[float], float], expected: Mapping[str, ExpectedStart]) -> WorkView:
    return WorkView(
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
        priority=view.priority,
        expected=expected.get(view.request) if view.session is None else None,
    )


def _held_back(waiter: Waiter) -> WorkView:
    return WorkView(
        request=waiter.request,
        title=waiter.title,
        state="pending",
        since=waiter.since,
        priority=waiter.priority,
        expected=waiter.expected,
        reason=waiter.held_back,
    )
