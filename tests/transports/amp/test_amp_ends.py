"""How an agent's TCP connection ends, and what a master makes of it (docs/protocol.md, rule 10)."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Awaitable, Callable

import pytest

from contracts.frames.both_ends import both_ends
from contracts.frames.codec import pack
from contracts.frames.frames import Beat
from tests.faults.laboratory.proxy import Proxy
from tests.harness.waiting import wait_for
from tests.transports.wires.door import Running, goodbye, opened, run
from worker_agent.link.frames.wire import FrameWire, WireLost

PLAIN, SECURE = "amp://127.0.0.1:0?tls=off", "amp://127.0.0.1:0"
secure_or_not = pytest.mark.parametrize("url", [PLAIN, SECURE])


async def killed(wire: FrameWire) -> None:
    """What the kernel does for a process that is gone."""
    assert wire.connection is not None
    wire.connection.shutdown(socket.SHUT_RDWR)


async def reset(wire: FrameWire) -> None:
    await wire.close()


async def left(wire: FrameWire) -> None:
    with contextlib.suppress(WireLost):
        await goodbye(wire)


async def held(wire: FrameWire) -> None:
    """By all processes that keep sessions."""
    assert wire.connection is not None
    await wire.send(pack(Beat(ends=both_ends(wire.connection.getsockname(), wire.connection.getpeername()))))


async def held_otherwise(wire: FrameWire) -> None:
    """As the other end of something in between sees it."""
    await wire.send(pack(Beat(ends=("192.0.2.7 50000", "192.0.2.1 9990"))))


async def only_here(wire: FrameWire) -> None:
    await wire.send(pack(Beat()))


Does = Callable[[FrameWire], Awaitable[None]]


@secure_or_not
@pytest.mark.parametrize(
    ("says", "ends", "died"),
    [
        (held, killed, True),
        (held, reset, False),
        (held, left, False),
        (held_otherwise, killed, False),
        (only_here, killed, False),
    ],
)
def test_who_died(make_door: Callable[..., Running], url: str, says: Does, ends: Does, died: bool) -> None:
    """An end in order and without a goodbye, of a connection that all hold and nobody is between."""
    running = make_door(url)
    login = running.account()

    async def agent() -> None:
        wire = await running.logged_in(login)
        await says(wire)
        await ends(wire)

    run(agent())
    wait_for(lambda: running.desk.left_by, 30, "the office hears that it has left")
    assert running.desk.died == {1: died}


@secure_or_not
def test_who_comes_through_a_proxy_dies_for_nobody(make_door: Callable[..., Running], url: str) -> None:
    """A proxy that is ended closes connections of agents that live."""
    running = make_door(url)
    login = running.account()
    with Proxy(running.listener.port) as proxy:

        async def agent() -> None:
            wire = await opened(login.address.__class__(**{**vars(login.address), "port": proxy.port}))
            await wire.send(login.hello())
            await wire.receive()
            await held(wire)
            await killed(wire)

        run(agent())
        wait_for(lambda: running.desk.left_by, 30, "the office hears that it has left")
    assert running.desk.died == {1: False}
