"""Signals while an agent's program is replaced by the one that is installed now."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker_agent.agent.ending import EndReason
from worker_agent.agent.instance import Instance
from worker_agent.program import run as program
from worker_agent.program.loading import load


class Restarting:
    """An agent that is told to leave at the very moment at which its restart begins."""

    def __init__(self, *_: object) -> None:
        self._told = False

    def leave(self, _signal: str) -> None:
        self._told = True

    def probe(self, _signal: str) -> None: ...

    def restart(self, _signal: str) -> None: ...

    def asked_to_leave(self) -> bool:
        return self._told

    async def run(self) -> EndReason:
        os.kill(os.getpid(), signal.SIGTERM)
        return EndReason.RESTART


@pytest.fixture
def _signals_as_before() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in program.SIGNALS}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    while signal.sigpending() & set(program.SIGNALS):
        signal.sigwait(program.SIGNALS)
    for number, handler in handlers.items():
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@pytest.mark.usefixtures("_signals_as_before")
def test_an_order_to_leave_as_the_restart_begins_waits_for_the_new_program(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The old one's event loop has not looked at it yet. Not heard it would be lost: an agent that stays for ever."""
    monkeypatch.setattr("worker_agent.agent.loop.Agent", Restarting)
    settings = load({"amqp_url": "amqp://h/", "state": str(tmp_path / "state")})
    instance = Instance(settings.state)
    try:
        ending = asyncio.run(program._run(settings, instance, None, None, None, gives_back=False))
    finally:
        instance.close()
    assert ending is EndReason.RESTART
    assert signal.SIGTERM in signal.sigpending()
