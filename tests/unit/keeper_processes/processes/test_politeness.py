"""SIGTERM before SIGKILL reaches all that a command started, and is not waited for longer than it takes."""

from __future__ import annotations

import time
from typing import Any

import psutil
import pytest

from tests.harness.processes import alive
from tests.unit.keeper_processes.driving.harness import Driven, stream
from worker_agent.keeper.processes.ending import BACKUP_TIMEOUT
from worker_agent.keeper.processes.reaper import DENIED_PATIENCE, rounds

#: Seconds: far more than an end takes, far less than `PATIENT`.
SOON = 15.0
PATIENT = 60
ENDS: dict[str, dict[str, Any]] = {
    "Stop": {"sigtermTime": PATIENT},
    "timeout": {"sigtermTime": PATIENT, "timeout": 1},
    "maxTime": {"sigtermTime": PATIENT, "maxTime": 1},
    "Stop of a command with a signal of its own": {"sigtermTime": PATIENT, "interruptSignal": "INT"},
}
LEFT = {
    "in another session": "setsid nohup sleep 300 >/dev/null 2>&1 & echo $!; exec sleep 300",
    "in the background": "sleep 300 >/dev/null 2>&1 & echo $!; exec sleep 300",
    "forked twice": "(setsid sh -c 'echo $$; exec >/dev/null 2>&1; exec sleep 300' &) ; exec sleep 300",
    "under a shell that waits": "sleep 300 & echo $!; wait",
    "that holds the output": "setsid sleep 300 & echo $!; exec sleep 300",
}


async def ended(driven: Driven, n: int) -> tuple[int, float]:
    """The pid that the command prints, and the seconds from the signal to its end."""
    event = await driven.next()
    while event.kind != "stdout":
        event = await driven.next()
    began = time.monotonic()
    driven.keeper.interrupt(n, "enough")
    await driven.completed(n)
    return int(event.data), time.monotonic() - began


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("left", LEFT)
async def test_a_polite_end_takes_no_longer_than_what_was_asked(driven: Driven, left: str, end: str) -> None:
    """Also when the command had left a process in another group or session."""
    await driven.open()

    pid, seconds = await ended(driven, driven.shell(LEFT[left], **ENDS[end]))

    assert not alive(pid)
    assert seconds < SOON


async def test_what_left_the_commands_group_is_asked_politely_too(driven: Driven) -> None:
    """It can write down what it has."""
    await driven.open()
    script = "trap 'echo saved > saved; exit' TERM; echo $$; while :; do sleep 0.1; done"
    n = driven.shell(f'setsid sh -c "{script.replace("$$", chr(92) + "$$")}" & exec sleep 300', sigtermTime=PATIENT)

    pid, seconds = await ended(driven, n)

    assert not alive(pid)
    assert (driven.build / "build" / "saved").read_text() == "saved\n"
    assert seconds < SOON


async def test_a_signal_of_its_own_reaches_what_left_the_group(driven: Driven) -> None:
    """As SIGTERM does; without it such a process was killed. Again where the machine gave it no time of its own.

    No SIGHUP, which nothing below `nohup` can hear.
    """
    await driven.open()
    script = "trap 'echo saved > saved; exit' USR1; echo $$; while :; do sleep 0.1; done"
    command = f'setsid sh -c "{script.replace("$$", chr(92) + "$$")}" & exec sleep 300'
    saved, deadline = driven.build / "build" / "saved", time.monotonic() + PATIENT

    seconds = BACKUP_TIMEOUT
    while seconds >= BACKUP_TIMEOUT and not saved.exists() and time.monotonic() < deadline:
        pid, seconds = await ended(driven, driven.shell(command, interruptSignal="USR1"))
        assert not alive(pid)

    assert saved.exists(), f"it had {seconds:.2f} s"


async def test_who_takes_its_time_has_it(driven: Driven) -> None:
    """The command's own process is gone at once; what it left in another session needs a second for its end."""
    await driven.open()
    script = "trap 'sleep 1; echo saved > saved; exit' TERM; echo $$; while :; do sleep 0.1; done"
    command = f'setsid sh -c "{script.replace("$$", chr(92) + "$$")}" & exec sleep 300'

    pid, seconds = await ended(driven, driven.shell(command, sigtermTime=PATIENT))

    assert not alive(pid)
    assert (driven.build / "build" / "saved").exists()
    assert 1 <= seconds < SOON


async def test_who_does_not_go_is_killed_after_its_time(driven: Driven) -> None:
    """Wherever it is."""
    await driven.open()
    script = "trap '' TERM; echo $$; while :; do sleep 0.1; done"
    command = f'setsid sh -c "{script.replace("$$", chr(92) + "$$")}" & exec sleep 300'

    pid, seconds = await ended(driven, driven.shell(command, sigtermTime=2))

    assert not alive(pid)
    assert 2 <= seconds < SOON


async def test_what_an_earlier_command_left_is_neither_asked_nor_waited_for(driven: Driven) -> None:
    """A Stop is of one command."""
    await driven.open()
    events = await driven.completed(driven.shell("setsid sleep 300 >/dev/null 2>&1 </dev/null & echo $!"))
    server = int(stream(events, "stdout"))

    _, seconds = await ended(driven, driven.shell("echo $$; exec sleep 300", sigtermTime=PATIENT))

    assert seconds < SOON
    assert alive(server)


class Denied:
    """A process of another user."""

    def send_signal(self, number: int) -> None:
        raise psutil.AccessDenied(1)


def test_what_may_not_be_killed_is_not_waited_for_long() -> None:
    """Its end does not depend on us."""
    began = time.monotonic()
    for _ in rounds(lambda: [Denied()]):  # type: ignore[list-item]  # all that is used of a process
        time.sleep(0.01)

    assert DENIED_PATIENCE <= time.monotonic() - began < DENIED_PATIENCE + 5
