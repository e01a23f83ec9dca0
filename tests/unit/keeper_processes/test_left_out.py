"""What stands in for modules that are seldom needed, and what stands in for the loop's own way to mind signals."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from worker_agent.keeper.isolated import isolated
from worker_agent.keeper.processes.signals import on_signal


def test_a_module_that_is_left_out_is_there_for_whoever_takes_something_from_it() -> None:
    """By its name, by `from`, for those who imported it before, in several threads at once, and in a traceback."""
    code = """
import datetime, inspect, threading, traceback
early = inspect
everybody = threading.Barrier(8)
found = []
def take():
    everybody.wait()
    found.append(early.getsource)
threads = [threading.Thread(target=take) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
import inspect
assert found == [inspect.getsource] * 8 and inspect is not early, found
assert early.signature is inspect.signature
from datetime import timedelta
assert datetime.timedelta is timedelta
try:
    datetime.no_such_name
except AttributeError as error:
    print("".join(traceback.format_exception(error)))
import ssl
"""
    done = subprocess.run(isolated(code), capture_output=True, text=True, check=False)
    assert "has no attribute 'no_such_name'" in done.stdout, done.stderr
    assert "ModuleNotFoundError: import of ssl halted" in done.stderr


@pytest.fixture
def _as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGUSR1)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.usefixtures("_as_before")
def test_a_loop_that_waits_hears_of_a_signal() -> None:
    """It calls what is set last; a signal after the loop's end is nobody's, and does no harm."""
    heard: list[str] = []

    async def wait() -> None:
        over = asyncio.Event()
        on_signal(signal.SIGUSR1, lambda: heard.append("first"))
        on_signal(signal.SIGUSR1, lambda: (heard.append("second"), over.set()))
        asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGUSR1)
        await asyncio.wait_for(over.wait(), 60)

    asyncio.run(wait())
    os.kill(os.getpid(), signal.SIGUSR1)
    assert heard == ["second"]


def test_this_process_has_everything() -> None:
    """The stand-ins are for small programs and agents; whoever only imports their modules keeps his own."""
    assert type(sys.modules["inspect"]).__name__ == "module"
