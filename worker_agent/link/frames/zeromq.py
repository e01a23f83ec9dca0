"""Frames over ZeroMQ, on asyncio: one DEALER socket for each life of a link, encrypted (CURVE)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import zmq
import zmq.asyncio
from zmq.utils import z85
from zmq.utils.monitor import recv_monitor_message

from contracts.frames.codec import FRAME_BODY_MAX, Packed
from contracts.operations.broker_failure import lost, network_failure, no_answer, other
from contracts.operations.office_url import OfficeAddress
from worker_agent.link.frames.wire import WireLost
from worker_agent.link.in_time import in_time, undisturbed
from worker_agent.link.options import LinkOptions

#: Messages that libzmq holds, each way.
HELD = 16
#: Milliseconds for what was said last to leave.
LINGER = 500
#: Milliseconds after which libzmq would connect again by itself: a wire that is lost is closed long before. Without
#: that, `-1`, it drops what came last and was not read yet.
_NEVER = 3_600_000
#: How a connection ends, or does not begin.
_ENDS = (
    zmq.EVENT_DISCONNECTED
    | zmq.EVENT_CLOSED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)


class ZMQWire:
    """`FrameWire` over one socket."""

    #: libzmq keeps it to itself
    connection = None

    def __init__(self, address: OfficeAddress, numeric: str) -> None:
        """Connects to `numeric`, an address of the host and the port. Raises `WireLost`."""
        self._address = address
        self._context = zmq.asyncio.Context()
        loop = asyncio.get_running_loop()
        #: an exception where the handshake failed
        self.opened: asyncio.Future[None] = loop.create_future()
        self._lost: asyncio.Future[None] = loop.create_future()
        try:
            self._socket = self._context.socket(zmq.DEALER)
            _encrypt(self._socket, address)
            self._socket.ipv6 = True
            self._socket.sndhwm = self._socket.rcvhwm = HELD
            self._socket.maxmsgsize = FRAME_BODY_MAX + 1024  # what encryption adds
            self._socket.reconnect_ivl = _NEVER
            self._socket.linger = LINGER
            self._monitor = self._socket.get_monitor_socket(_ENDS | zmq.EVENT_CONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED)
            self._socket.connect(f"tcp://{numeric}")
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise WireLost(f"{address.listener}: ZeroMQ cannot be used: {error}") from None
        self._watching = loop.create_task(self._watch())

    async def _watch(self) -> None:
        """What becomes of the connection, until it is lost."""
        connected = False
        while not self._lost.done():
            told: Any = await recv_monitor_message(self._monitor)
            event = told["event"]
            if event == zmq.EVENT_CONNECTED:
                connected = True
            elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.opened.set_result(None)
            elif event & _ENDS:
                if not self.opened.done():
                    self.opened.set_exception(self._not_opened(event, connected=connected))
                self._lost.set_result(None)

    def _not_opened(self, event: int, *, connected: bool) -> Exception:
        where = self._address.listener
        if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            return WireLost(
                f"{where} does not let user {self._address.user!r} in: its key is of no account there; "
                "`master-bridge enroll` makes accounts"
            )
        if connected:
            return WireLost(
                f"{where} accepts a connection and ends it: what listens there is no master's ZeroMQ, or its key is "
                "not the serverkey in the URL; the master's log has it"
            )
        return ConnectionError()

    async def send(self, packed: Packed) -> None:
        if not await self._done(self._socket.send_multipart((packed.header, packed.body), copy=False)):
            raise WireLost(str(lost(self._address)))

    async def receive(self) -> Packed:
        receiving: Any = self._socket.recv_multipart()
        if await self._done(receiving):
            parts = receiving.result()
        else:  # what came before the loss counts
            try:
                parts = await self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.ZMQError:
                raise WireLost(str(lost(self._address))) from None
        if len(parts) != 2:
            raise WireLost(f"{self._address.listener} sent what is no frame: a message of {len(parts)} parts")
        return Packed(*parts)

    async def _done(self, work: Any) -> bool:
        """False: the connection was lost first, or ZeroMQ has failed."""
        try:
            if not work.done():
                await asyncio.wait((work, self._lost), return_when=asyncio.FIRST_COMPLETED)
            return work.done() and work.exception() is None
        finally:
            work.cancel()

    async def close(self) -> None:
        """What was sent last has half a second to leave."""
        await undisturbed(self._close())

    async def _close(self) -> None:
        self._watching.cancel()
        await asyncio.wait((self._watching,))
        for future in (self.opened, self._lost):
            if not future.done():
                future.cancel()
            elif not future.cancelled():
                future.exception()  # it is told elsewhere
        with contextlib.suppress(zmq.ZMQError):
            self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close()
        with contextlib.suppress(zmq.ZMQError):
            await asyncio.to_thread(self._context.term)


def _encrypt(opened: Any, address: OfficeAddress) -> None:
    secret = z85.encode(bytes.fromhex(address.key))
    opened.curve_serverkey = bytes.fromhex(address.server_key)
    opened.curve_secretkey = secret
    opened.curve_publickey = zmq.curve_public(secret)


async def open_wire(options: LinkOptions) -> ZMQWire:
    """To the master that the options name. Raises `WireLost`."""
    return await open_zmq(options.office, options.connect_timeout)


async def open_zmq(address: OfficeAddress, timeout: float) -> ZMQWire:
    """Within `timeout` seconds, at the first of the host's addresses that answers. Raises `WireLost`; then, and when
    cancelled, nothing is left open.
    """
    deadline = asyncio.get_running_loop().time() + timeout
    try:
        found = await in_time(
            asyncio.get_running_loop().getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM), timeout
        )
    except asyncio.TimeoutError:
        raise WireLost(str(no_answer(address))) from None
    except (OSError, UnicodeError) as error:
        raise _network(error, address) from error
    places = list(dict.fromkeys(_numeric(found)))
    problem: WireLost | None = None
    for number, place in enumerate(places):
        left = max(0.1, (deadline - asyncio.get_running_loop().time()) / (len(places) - number))
        try:
            return await _open_at(address, place, left)
        except WireLost as error:
            problem = error
    raise problem or WireLost(str(no_answer(address)))


def _numeric(found: list[Any]) -> Iterator[str]:
    for family, _type, _protocol, _name, place in found:
        yield f"[{place[0]}]:{place[1]}" if family == socket.AF_INET6 else f"{place[0]}:{place[1]}"


async def _open_at(address: OfficeAddress, place: str, timeout: float) -> ZMQWire:
    wire = ZMQWire(address, place)
    try:
        await asyncio.wait((wire.opened,), timeout=timeout)
        if not wire.opened.done():
            raise WireLost(str(no_answer(address)))
        wire.opened.result()
    except ConnectionError:
        await wire.close()
        raise await _why(address, timeout) from None
    except BaseException:
        await wire.close()
        raise
    return wire


async def _why(address: OfficeAddress, timeout: float) -> WireLost:
    """libzmq does not say why it could not connect: a plain connection does."""
    try:
        opening = asyncio.open_connection(address.host, address.port)
        _reader, writer = await in_time(opening, timeout, undo=lambda opened: opened[1].transport.abort())
    except asyncio.TimeoutError:
        return WireLost(str(no_answer(address)))
    except OSError as error:
        return _network(error, address)
    writer.transport.abort()
    return WireLost(str(lost(address)))


def _network(error: Exception, address: OfficeAddress) -> WireLost:
    return WireLost(str(network_failure(error, address, ca="") or other(error, address)))
