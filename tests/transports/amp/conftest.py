"""A door with an AMP listener in the reactor's thread; the agent's side in the test."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pydantic import SecretStr
from twisted.internet import threads

from contracts.frames.codec import Packed, pack, unpack
from contracts.frames.frames import Denied, Frame, Hello
from contracts.operations.office_url import OfficeAddress, parse_listen_url, parse_office_url
from contracts.topology import control_address
from master_bridge.link.office import accounts
from master_bridge.link.office.accounts import AgentAccounts, KnownAgent
from master_bridge.link.office.amp import AMPListener
from master_bridge.link.office.door import Door
from master_bridge.link.settings import TLSSettings
from tests.broker.bridge.conftest import twisted  # noqa: F401  # a fixture
from worker_agent.link.frames.amp import AMPWire, open_amp

Result = TypeVar("Result")


class Desk:
    """An office that remembers what it is told. `behave` is called with each frame."""

    def __init__(self) -> None:
        self.joined_as: dict[int, KnownAgent] = {}
        self.frames: list[tuple[int, Frame, bytes]] = []
        self.left_by: list[int] = []
        self.denied: Denied | None = None
        self.behave: Callable[[int, Frame, bytes], None] = lambda connection, frame, body: None

    def joined(self, connection: int, account: KnownAgent, hello: Hello) -> Denied | None:
        if self.denied is None:
            self.joined_as[connection] = account
        return self.denied

    def came(self, connection: int, frame: Frame, body: bytes) -> None:
        self.frames.append((connection, frame, body))
        self.behave(connection, frame, body)

    def left(self, connection: int) -> None:
        self.left_by.append(connection)


class Running:
    """Door, listener and desk. `silence`: the door's."""

    def __init__(self, reactor: Any, folder: Path, url: str, tls: TLSSettings | None, silence: float) -> None:
        self.reactor = reactor
        self.folder = folder
        self.path = folder / accounts.ACCOUNTS_FILE
        self.desk = Desk()
        self.door = Door(reactor, AgentAccounts(self.path), self.desk, silence)
        self.listener = AMPListener(reactor, parse_listen_url(url), self.door, folder, tls)
        self.call(self.door.open)
        self.call(self.listener.start)

    def call(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return threads.blockingCallFromThread(self.reactor, work, *arguments)

    def close(self) -> None:
        self.call(self.listener.stop)
        self.call(self.door.close, "the test is over")

    def account(self, user: str, **settings: Any) -> str:
        return accounts.add(self.path, user, **settings)

    def address(self, user: str, *, fingerprint: str | None = None) -> OfficeAddress:
        secure = self.listener.fingerprint is not None
        pin = f"?fingerprint=sha256:{fingerprint or self.listener.fingerprint}" if secure else ""
        return parse_office_url(f"amp{'s' if secure else ''}://{user}@127.0.0.1:{self.listener.port}{pin}")

    async def wire(self, user: str = "agents") -> AMPWire:
        address = self.address(user)
        return await opened(address, ssl.create_default_context() if address.secure else None)


def hello(user: str, token: str | None, **other: Any) -> Packed:
    """The first frame of an agent of this account."""
    fields: dict[str, Any] = {"user": user, "agent": "a", "address": control_address(user, "instance", "nonce")}
    return pack(Hello(token=None if token is None else SecretStr(token), **{**fields, **other}))


async def next_frame(wire: AMPWire) -> Frame:
    return unpack(await asyncio.wait_for(wire.receive(), 30.0))


#: those of the test that runs
_OPEN: list[AMPWire] = []


async def opened(address: OfficeAddress, context: ssl.SSLContext | None) -> AMPWire:
    """A wire that `run` closes."""
    _OPEN.append(await open_amp(address, context, 30.0))
    return _OPEN[-1]


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    async def all_of_it() -> Result:
        try:
            return await asyncio.wait_for(coroutine, 60.0)
        finally:
            while _OPEN:
                await _OPEN.pop().close()
            await asyncio.sleep(0)  # asyncio closes sockets in the turn after

    return asyncio.run(all_of_it())


@pytest.fixture
def make_door(twisted: Any, tmp_path: Path) -> Iterator[Callable[..., Running]]:  # noqa: F811  # the fixture
    made: list[Running] = []

    def make(url: str = "amp://127.0.0.1:0?tls=off", tls: TLSSettings | None = None, silence: float = 15.0) -> Running:
        made.append(Running(twisted, tmp_path, url, tls, silence))
        return made[-1]

    yield make
    for running in made:
        running.close()
