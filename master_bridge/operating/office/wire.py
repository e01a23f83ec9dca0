"""Frames over AMP on a blocking socket: with TLS to a master's port, or through the socket in its folder."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import socket
import ssl
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Union

from contracts.frames.amp import Assembler, BoxParser, boxes_of, bytes_of
from contracts.frames.codec import NotAFrame, Packed
from contracts.operations.broker_failure import BrokerFailure, lost, network_failure, no_answer, other
from contracts.operations.office_url import ZMQ, OfficeAddress
from contracts.operations.reachability import open_socket
from contracts.operations.socket_path import short_path
from master_bridge.link.errors import BadSettings
from master_bridge.link.office.own_socket import SOCKET_FILE
from master_bridge.link.settings import TLSSettings
from master_bridge.operating.connection import tls_context
from master_bridge.operating.errors import Unreachable
from master_bridge.operating.port import TIMEOUT

#: Bytes that are asked of the socket at once.
READ = 256 * 1024
_CA_SETTING = "--tls-ca, or the certificate's fingerprint with ?fingerprint=sha256:… in the URL"


@dataclass(frozen=True)
class OwnMaster:
    """A master on this machine, known by its folder."""

    folder: Path
    host: str = "this machine"

    @property
    def listener(self) -> str:
        """For people: its socket."""
        return str(self.folder / SOCKET_FILE)


Contacted = Union[OfficeAddress, OwnMaster]


class BlockingWire:
    """One connection. Every call raises `Unreachable` once it is lost."""

    def __init__(self, address: Contacted, opened: socket.socket) -> None:
        self.address = address
        self._socket = opened
        self._parser = BoxParser()
        self._assembler = Assembler()
        self._came: deque[Packed] = deque()

    def send(self, packed: Packed) -> None:
        """Done when the system has all of it."""
        self._socket.settimeout(TIMEOUT)
        try:
            for box in boxes_of(packed):
                self._socket.sendall(bytes_of(box))
        except OSError as error:
            raise Unreachable(self._why(error)) from None

    def receive(self, seconds: float) -> Packed | None:
        """The next frame, whole; None: none came within so long."""
        deadline = time.monotonic() + seconds
        while not self._came:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                data = self._socket.recv(READ)
            except TimeoutError:
                return None
            except OSError as error:
                raise Unreachable(self._why(error)) from None
            if not data:
                raise Unreachable(lost(self.address))
            try:
                frames = [self._assembler.add(box) for box in self._parser.feed(data)]
            except NotAFrame as error:
                raise Unreachable(strange(self.address, str(error))) from None
            self._came.extend(frame for frame in frames if frame is not None)
        return self._came.popleft()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()

    def _why(self, error: OSError) -> BrokerFailure:
        return network_failure(error, self.address, ca=_CA_SETTING) or lost(self.address)


def strange(address: Contacted, what: str) -> BrokerFailure:
    """What answers is no master of ours."""
    return BrokerFailure(
        part="connection",
        seen=f"{address.listener} sent what is no frame: {what}",
        remedy="is that the port at which a master listens for its agents?",
    )


def open_own(folder: Path) -> BlockingWire:
    """Through the socket that the master in `folder` keeps there for its own user. Raises `Unreachable`."""
    address = OwnMaster(folder)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    opened.settimeout(TIMEOUT)
    try:
        with short_path(folder / SOCKET_FILE) as path:
            opened.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
        opened.close()
        raise Unreachable(
            BrokerFailure(
                part="port",
                seen=f"no master that listens for its agents itself runs in {folder}",
                remedy="start it, with a url of its Broker that begins with amp://; a fleet on RabbitMQ wants --url",
            )
        ) from None
    except PermissionError:
        opened.close()
        raise Unreachable(
            BrokerFailure(
                part="permissions",
                seen=f"{address.listener} may not be opened by this user",
                remedy="be the master's user, or give --url with an operator's account",
            )
        ) from None
    except OSError as error:
        opened.close()
        raise Unreachable(other(error, address)) from None
    return BlockingWire(address, opened)


def open_at(address: OfficeAddress, tls: TLSSettings) -> BlockingWire:
    """To the master that the address names, and to no other. Raises `Unreachable` and `BadSettings`."""
    if address.wire == ZMQ:
        raise BadSettings("url: zmq:// is for agents: an operator comes by amps://, or with --master-dir")
    context = tls_context(tls) if address.secure else None
    try:
        opened = open_socket(address.host, address.port, TIMEOUT)
    except TimeoutError:
        raise Unreachable(no_answer(address)) from None
    except (OSError, UnicodeError) as error:
        raise Unreachable(network_failure(error, address, ca=_CA_SETTING) or other(error, address)) from None
    if context is None:
        return BlockingWire(address, opened)
    if address.fingerprint is not None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the certificate itself is compared below, which says more
    try:
        secure = context.wrap_socket(opened, server_hostname=address.host)
    except (OSError, ValueError) as error:
        opened.close()
        raise Unreachable(network_failure(error, address, ca=_CA_SETTING) or other(error, address)) from None
    found = hashlib.sha256(secure.getpeercert(binary_form=True) or b"").hexdigest()
    if address.fingerprint is not None and not hmac.compare_digest(found, address.fingerprint):
        secure.close()
        raise Unreachable(
            BrokerFailure(
                part="TLS",
                seen=f"the certificate of {address.listener} has the fingerprint sha256:{found}, not that of the URL",
                remedy="if it was made anew, take the fingerprint from the master's log; else somebody is in between",
            )
        )
    return BlockingWire(address, secure)


def folder_of(path: Path) -> Path:
    """A master's folder, whole: what is said of it does not depend on where the command was called."""
    return Path(os.path.abspath(path))
