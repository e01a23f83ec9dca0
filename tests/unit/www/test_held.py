"""Why Buildbot has not started a request, and for which places it waits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from master_bridge.www import held
from master_bridge.www.held import HoldingBack, HoldReason


def place(name: str, *, free: bool = False, building: bool = True) -> Any:
    return SimpleNamespace(
        name=name, amqp_worker=True, signature="gtk>=3", building={1} if building else set(), canStartBuild=lambda: free
    )


def look(*workers: Any, shortage: Any = None, builder: str = "gtk") -> HoldReason:
    names = [worker.name for worker in workers]
    master = SimpleNamespace(
        workers=SimpleNamespace(workers={worker.name: worker for worker in workers}),
        config=SimpleNamespace(builders=[SimpleNamespace(name="gtk", workernames=[*names, "gone"])]),
    )
    return HoldingBack(SimpleNamespace(master=master, room=SimpleNamespace(shortage=lambda: shortage))).of(builder)


def test_taken_places_are_what_it_waits_for() -> None:
    """A paused one is not among them: it stays paused."""
    found = look(place("gtk-1"), place("gtk-2"), place("gtk-3", building=False))
    assert found == HoldReason(reason=held.TAKEN, places={"gtk-1": "gtk>=3", "gtk-2": "gtk>=3"})


@pytest.mark.parametrize(
    ("workers", "reason"),
    [
        ([place("gtk-1"), place("gtk-2", free=True, building=False)], held.KEPT),
        ([place("gtk-1", building=False)], held.OUT),
        ([place("gtk-1"), SimpleNamespace(name="pb", canStartBuild=lambda: True)], held.OTHERS),
        ([], held.OUT),
    ],
)
def test_what_else_it_waits_for_has_no_start(workers: list[Any], reason: str) -> None:
    assert look(*workers) == HoldReason(reason=reason)


def test_a_full_disk_and_an_unknown_builder_are_named() -> None:
    assert (
        look(place("gtk-1"), shortage=SimpleNamespace(text="disk\nfull")).reason
        == "the master has no room: disk\\nfull"
    )
    assert look(builder="other") == HoldReason(reason=held.UNKNOWN)
