"""A keeper holds the agent's connection to its master: what the other end sees when who ends, and how."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.operations.socket_path import short_path
from tests.unit.keeper_processes.driving.harness import Driven, eventually
from tests.unit.keeper_processes.test_restart import attach, main_process
from worker_agent.keeper.wire import LINK_SOCKET
from worker_agent.keepers.link_copies import LinkCopies


class Connection:
    """Of TCP: `agents` is the end that is held, `masters` the one that sees how it ends."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.agents = socket.create_connection(listener.getsockname())
            self.masters, _ = listener.accept()
        self.masters.setblocking(False)

    async def end(self) -> str:
        """ "closed" in order, or "reset"."""
        try:
            seen = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.masters, 1), 30)
        except ConnectionResetError:
            return "reset"
        assert seen == b""
        return "closed"

    def open(self) -> bool:
        try:
            self.masters.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            pass
        return False


@pytest.fixture
def connection() -> Iterator[Connection]:
    made = Connection()
    yield made
    made.agents.close()
    made.masters.close()


@pytest.fixture
def copies() -> Iterator[LinkCopies]:
    made = LinkCopies()
    yield made
    made.end(made.name)


async def hold(driven: Driven, connection: Connection, copies: LinkCopies) -> None:
    copies.begin(connection.agents.fileno())
    assert await copies.give(str(driven.folder))


async def test_it_is_closed_in_order_when_the_last_that_has_it_is_killed(
    driven: Driven, connection: Connection, copies: LinkCopies
) -> None:
    await driven.open()
    await hold(driven, connection, copies)
    connection.agents.close()
    copies.end(copies.name)
    assert connection.open()
    os.kill(driven.keeper.pid, signal.SIGKILL)
    assert await connection.end() == "closed"


async def test_a_killed_main_process_leaves_a_reset(
    driven: Driven, connection: Connection, copies: LinkCopies, tmp_path: Path
) -> None:
    """The keeper lives, so nothing is known but that the connection is gone."""
    process, _ = main_process(driven, tmp_path)
    await hold(driven, connection, copies)
    connection.agents.close()
    copies.end(copies.name)
    process.kill()
    process.communicate()
    assert connection.open()
    assert await connection.end() == "reset"
    await attach(driven)


async def test_it_lets_go_when_told(driven: Driven, connection: Connection, copies: LinkCopies) -> None:
    """Of that copy, and of no other."""
    await driven.open()
    await hold(driven, connection, copies)
    name = copies.name
    connection.agents.close()
    copies.end(name)
    driven.keeper.let_go("0123456789abcdef")
    driven.keeper.let_go(name)
    assert await connection.end() == "reset"


async def test_the_newest_copy_counts(driven: Driven, connection: Connection, copies: LinkCopies) -> None:
    await driven.open()
    await hold(driven, connection, copies)
    connection.agents.close()
    second = Connection()
    copies.begin(second.agents.fileno())
    assert await copies.give(str(driven.folder))
    assert await connection.end() == "reset"
    assert second.open()
    second.agents.close()
    second.masters.close()


async def test_what_is_no_copy_changes_nothing(driven: Driven, connection: Connection, copies: LinkCopies) -> None:
    """Too short a name, no descriptor, nothing at all: the keeper goes on, and the next one is taken."""
    await driven.open()
    for sent in (b"", b"short", b"12345678"):
        with socket.socket(socket.AF_UNIX) as stranger:
            with short_path(driven.folder / LINK_SOCKET) as path:
                stranger.connect(path)
            if sent:
                stranger.sendall(sent)
                stranger.settimeout(30)
                assert await asyncio.to_thread(stranger.recv, 1) == b""
    await hold(driven, connection, copies)


async def test_a_keeper_of_an_earlier_version_takes_none(
    driven: Driven, connection: Connection, copies: LinkCopies
) -> None:
    await driven.open()
    (driven.folder / LINK_SOCKET).unlink()
    assert not await copies.give(str(driven.folder))
    copies.begin(connection.agents.fileno())
    assert not await copies.give(str(driven.folder))
    await eventually(lambda: connection.open(), "still open")
