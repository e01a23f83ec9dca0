"""What stands in for modules that are seldom needed, and what stands in for the loop's own way to mind signals."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

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


def test_minding_signals_loads_nothing_of_it() -> None:
    """Beside asyncio's own handler of SIGINT, too: the text of its task takes `inspect`, a megabyte of each keeper."""
    code = """
import asyncio, signal, sys
from worker_agent.keeper.left_out import StandIn
from worker_agent.keeper.processes.signals import is_ignored, on_signal
async def mind():
    for number in (signal.SIGTERM, signal.SIGINT):
        assert not is_ignored(number)
        on_signal(number, print)
asyncio.run(mind())
signal.signal(signal.SIGTERM, signal.SIG_IGN)
assert is_ignored(signal.SIGTERM)
print([name for name in ("inspect", "datetime", "locale", "tokenize") if not isinstance(sys.modules[name], StandIn)])
"""
    done = subprocess.run(isolated(code), capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize("mode", [0, 1])
def test_names_of_files_are_read_as_here(locale: str, mode: int) -> None:
    """A small program does not read PYTHONUTF8. Where it was set beside a locale in another encoding, each folder with
    a letter that is not ASCII was another one to the keeper than to the agent."""
    code = f"""
import subprocess, sys
from worker_agent.keeper.isolated import isolated
assert sys.flags.utf8_mode == {mode}
sys.exit(subprocess.run(isolated("sys.exit(sys.flags.utf8_mode != {mode})")).returncode)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "LC_ALL": locale, "PYTHONUTF8": str(mode)}, check=False
    )
    assert done.returncode == 0


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


@pytest.mark.usefixtures("_as_before")
def test_a_loop_that_waits_hears_of_a_signal_that_another_thread_was_given() -> None:
    """As of one that comes just before the wait begins: neither interrupts it. The loop has nothing else to do."""
    heard = threading.Event()
    before: list[bool] = []

    def be_given(tell: Callable[[], object]) -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
        for _ in range(2):  # the second after what woke the loop for the first was read
            heard.clear()
            signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
            before.append(heard.wait(10))
        tell()

    async def wait() -> None:
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        on_signal(signal.SIGUSR1, heard.set)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        thread = threading.Thread(target=be_given, args=(lambda: loop.call_soon_threadsafe(over.set),))
        thread.start()
        await over.wait()
        thread.join()

    for _ in range(2):  # another loop of the same process, too
        try:
            asyncio.run(wait())
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
    assert before == [True] * 4


def test_this_process_has_everything() -> None:
    """The stand-ins are for small programs and agents; whoever only imports their modules keeps his own."""
    assert type(sys.modules["inspect"]).__name__ == "module"
