"""Frames over AMP and TLS, on asyncio. The agent needs no Twisted for it: the codec is `contracts.frames.amp`."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import socket
import ssl
import struct
from collections import deque

from contracts.frames.amp import Assembler, BoxParser, boxes_of, bytes_of
from contracts.frames.codec import NotAFrame, Packed
from contracts.operations.broker_failure import lost, network_failure, no_answer, other
from contracts.operations.office_url import OfficeAddress
from contracts.operations.reachability import NEXT_ADDRESS
from worker_agent.link.frames.wire import WireLost
from worker_agent.link.in_time import in_time
from worker_agent.link.options import LinkOptions, tls_context

#: Bytes that are asked of the socket at once: several of the largest boxes.
READ = 256 * 1024
#: Closes with a reset (socket(7), SO_LINGER with a time of zero).
_RESET = struct.pack("ii", 1, 0)
#: How the setting is called that a certificate which does not verify asks for.
CA_SETTING = "--tls-ca, or the certificate's fingerprint with ?fingerprint=sha256:… in the URL"


class AMPWire:
    """`FrameWire` over one socket."""

    def __init__(self, address: OfficeAddress, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._address = address
        self._reader = reader
        self._writer = writer
        self._parser = BoxParser()
        self._assembler = Assembler()
        self._came: deque[Packed] = deque()

    @property
    def connection(self) -> socket.socket | None:
        found: socket.socket | None = self._writer.get_extra_info("socket")
        return found

    async def send(self, packed: Packed) -> None:
        try:
            for box in boxes_of(packed):
                self._writer.write(bytes_of(box))
                await self._writer.drain()
        except (OSError, RuntimeError) as error:  # RuntimeError: a transport that was closed
            raise self._lost(error) from error

    async def receive(self) -> Packed:
        while not self._came:
            try:
                data = await self._reader.read(READ)
            except OSError as error:
                raise self._lost(error) from error
            if not data:
                raise WireLost(str(lost(self._address)))
            try:
                frames = [self._assembler.add(box) for box in self._parser.feed(data)]
            except NotAFrame as error:
                raise WireLost(f"{self._address.listener} sent what is no frame: {error}") from None
            self._came.extend(frame for frame in frames if frame is not None)
        return self._came.popleft()

    async def close(self) -> None:
        """With a reset: an end in order is for those who said goodbye, which the master answers with the end."""
        if (connection := self.connection) is not None:
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        # AttributeError: Python 3.11.2 and others before, of a TLS transport that has closed itself
        with contextlib.suppress(OSError, RuntimeError, AttributeError):
            self._writer.transport.abort()

    def _lost(self, error: Exception) -> WireLost:
        return WireLost(str(network_failure(error, self._address, ca=CA_SETTING) or lost(self._address)))


async def open_wire(options: LinkOptions) -> AMPWire:
    """To the master that the options name. Raises `WireLost`."""
    address = options.office
    try:
        context = tls_context(options.tls) if address.secure else None
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError: the TLS files
        raise WireLost(f"--tls-ca, --tls-cert or --tls-key cannot be used: {error}") from None
    return await open_amp(address, context, options.connect_timeout)


async def open_amp(address: OfficeAddress, context: ssl.SSLContext | None, timeout: float) -> AMPWire:
    """Within `timeout` seconds. `context`: verifies by authorities; not used where the URL has a fingerprint, but for
    its own certificate. Raises `WireLost`; then, and when cancelled, nothing is left open.
    """
    if context is not None and address.fingerprint is not None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the certificate itself is compared below, which says more
    opening = asyncio.open_connection(
        address.host, address.port, ssl=context, limit=READ, happy_eyeballs_delay=NEXT_ADDRESS
    )
    try:
        reader, writer = await in_time(opening, timeout, undo=lambda opened: opened[1].transport.abort())
    except asyncio.TimeoutError:
        raise WireLost(str(no_answer(address))) from None
    except (OSError, ValueError) as error:
        raise WireLost(str(network_failure(error, address, ca=CA_SETTING) or other(error, address))) from error
    wire = AMPWire(address, reader, writer)
    if (problem := _stranger(address, writer)) is not None:
        await wire.close()
        raise WireLost(problem)
    return wire


def _stranger(address: OfficeAddress, writer: asyncio.StreamWriter) -> str | None:
    """Why the peer is not the master that the URL names; None: it is, or its authority has vouched for it."""
    if address.fingerprint is None:
        return None
    peer: ssl.SSLObject = writer.get_extra_info("ssl_object")
    certificate = peer.getpeercert(binary_form=True) or b""
    found = hashlib.sha256(certificate).hexdigest()
    if hmac.compare_digest(found, address.fingerprint):
        return None
    return (
        f"the certificate of {address.listener} has the fingerprint sha256:{found}, not the one in the URL: if the "
        "master's certificate was made anew, take the fingerprint from the master's log; else somebody is in between"
    )
