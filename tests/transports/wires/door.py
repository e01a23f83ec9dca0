"""A door with a wire's listener in the reactor's thread; the agent's side in the test."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import SecretStr
from twisted.internet import threads

from contracts.frames.codec import Packed, pack, unpack
from contracts.frames.frames import Bye, Denied, Frame, Hello, Welcome
from contracts.operations.office_url import SSH, ZMQ, OfficeAddress, parse_listen_url, parse_office_url
from contracts.topology import control_address
from master_bridge.link.office import accounts
from master_bridge.link.office.accounts import AgentAccounts, KnownAgent
from master_bridge.link.office.door import Door
from master_bridge.link.office.local_door import LocalListener
from master_bridge.link.office.local_socket import join
from master_bridge.link.office.wires import listener_of
from master_bridge.link.office.zeromq.curve import new_pair
from master_bridge.link.settings import TLSSettings
from worker_agent.link.frames.amp import open_amp
from worker_agent.link.frames.stream_wire import StreamWire
from worker_agent.link.frames.wire import FrameWire, WireLost
from worker_agent.link.frames.zeromq import open_zmq

Result = TypeVar("Result")
#: Where a master listens, of each wire.
URLS = ("amp://127.0.0.1:0?tls=off", "amp://127.0.0.1:0", "zmq://127.0.0.1:0", "ssh:")


class Desk:
    """An office that remembers what it is told. `behave` is called with each frame."""

    def __init__(self) -> None:
        self.joined_as: dict[int, KnownAgent] = {}
        self.frames: list[tuple[int, Frame, bytes]] = []
        self.left_by: list[int] = []
        #: because their agents' processes had ended
        self.died: dict[int, bool] = {}
        self.denied: Denied | None = None
        self.behave: Callable[[int, Frame, bytes], None] = lambda connection, frame, body: None

    def joined(self, connection: int, account: KnownAgent, hello: Hello) -> Denied | None:
        if self.denied is None:
            self.joined_as[connection] = account
        return self.denied

    def came(self, connection: int, frame: Frame, body: bytes) -> None:
        self.frames.append((connection, frame, body))
        self.behave(connection, frame, body)

    def left(self, connection: int, *, died: bool = False) -> None:
        self.left_by.append(connection)
        self.died[connection] = died


@dataclass(frozen=True)
class Login:
    """An account, where its agent goes, and the token that its first frame has."""

    user: str
    address: OfficeAddress
    token: str | None

    def hello(self, **other: Any) -> Packed:
        """Its first frame."""
        return hello(token=self.token, **{"user": self.user, **other})


class Running:
    """Door, listener and desk. `silence`: the door's."""

    def __init__(self, reactor: Any, folder: Path, url: str, tls: TLSSettings | None, silence: float) -> None:
        self.reactor = reactor
        self.folder = folder
        self.path = folder / accounts.ACCOUNTS_FILE
        self.desk = Desk()
        self.door = Door(reactor, AgentAccounts(self.path), self.desk, silence)
        self.listens = parse_listen_url(url)
        self.listener: Any
        if self.listens.wire == SSH:
            self.listener = LocalListener(reactor, self.door, folder)
        else:
            self.listener = listener_of(reactor, self.listens, self.door, folder, tls)
        self.call(self.door.open)
        self.call(self.listener.start)

    def call(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return threads.blockingCallFromThread(self.reactor, work, *arguments)

    def close(self) -> None:
        self.call(self.door.close, "the test is over")
        self.call(self.listener.stop)

    def account(self, user: str = "agents", **settings: Any) -> Login:
        """A new one, or a new secret for it."""
        if self.listens.wire == ZMQ:
            key, secret = new_pair()
            accounts.add(self.path, user, key=key, **settings)
            return Login(user, self.zmq_address(user, secret), None)
        if self.listens.wire == SSH:
            accounts.add(self.path, user, ssh=True, **settings)
            address = OfficeAddress(wire=SSH, host=str(self.folder), port=0, user=user, secure=False, fingerprint=None)
            return Login(user, address, None)
        token = accounts.add(self.path, user, **settings)
        return Login(user, self.address(user), token)

    def address(self, user: str, *, fingerprint: str | None = None) -> OfficeAddress:
        """Over AMP."""
        secure = self.listener.fingerprint is not None
        pin = f"?fingerprint=sha256:{fingerprint or self.listener.fingerprint}" if secure else ""
        return parse_office_url(f"amp{'s' if secure else ''}://{user}@127.0.0.1:{self.listener.port}{pin}")

    def zmq_address(self, user: str, secret: str, *, server_key: str | None = None) -> OfficeAddress:
        """Over ZeroMQ."""
        key = server_key or self.listener.server_key
        return parse_office_url(f"zmq://{user}:{secret}@127.0.0.1:{self.listener.port}?serverkey={key}")

    def stranger(self) -> socket.socket:
        """A connection on which nothing was said; by ssh, whose it is."""
        if self.listens.wire == SSH:
            return join(self.folder, "agents", "127.0.0.1")
        return socket.create_connection(("127.0.0.1", self.listener.port), timeout=30)

    async def logged_in(self, login: Login) -> FrameWire:
        """A wire on which the master has said that the account is in."""
        wire = await opened(login.address)
        await wire.send(login.hello())
        assert isinstance(await next_frame(wire), Welcome)
        return wire


def hello(user: str, token: str | None, **other: Any) -> Packed:
    """The first frame of an agent of this account."""
    fields: dict[str, Any] = {"user": user, "agent": "a", "address": control_address(user, "instance", "nonce")}
    return pack(Hello(token=None if token is None else SecretStr(token), **{**fields, **other}))


async def goodbye(wire: FrameWire) -> None:
    """As an agent leaves: what it said before has arrived then."""
    await wire.send(pack(Bye(reason="done")))
    with contextlib.suppress(WireLost):
        while True:
            await asyncio.wait_for(wire.receive(), 30.0)


async def next_frame(wire: FrameWire) -> Frame:
    return unpack(await asyncio.wait_for(wire.receive(), 30.0))


#: those of the test that runs
_OPEN: list[FrameWire] = []


class OfSocket(StreamWire):
    """What an ssh carries, without it."""

    async def _lost(self) -> WireLost:
        return WireLost("the socket has ended")

    async def close(self) -> None:
        self._writer.close()


async def opened(address: OfficeAddress, context: ssl.SSLContext | None = None) -> FrameWire:
    """A wire that `run` closes. By ssh the host is the master's folder: what ssh and sshd do has tests of its own."""
    if address.wire == SSH:
        line = join(Path(address.host), address.user, "127.0.0.1")
        _OPEN.append(OfSocket("master", *await asyncio.open_unix_connection(sock=line)))
    elif address.wire == ZMQ:
        _OPEN.append(await open_zmq(address, 30.0))
    else:
        context = context or (ssl.create_default_context() if address.secure else None)
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
