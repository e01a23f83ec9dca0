"""One ROUTER socket of ZeroMQ on Twisted's reactor: frames of connections by number, and who is believed (CURVE, ZAP).

A ROUTER that listens by itself bounds neither who connects nor how many parts a message has, and cannot end one peer.
So it listens nowhere: it connects to each agent by way of a local socket whose other end this process holds
(`peer`), under the connection's number as routing id.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Protocol

import structlog
import zmq
from twisted.internet import defer, threads
from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

from contracts.frames.codec import FRAME_BODY_MAX, Packed

log = structlog.get_logger(__name__)

#: Messages to or from one agent that libzmq holds; what waits beyond them is counted in bytes by the peer.
HELD = 4
#: Milliseconds for what was sent last to leave when a connection is ended.
LINGER = 5_000
#: Milliseconds after which libzmq would connect again by itself: each connection that has ended is disconnected long
#: before. With `-1`, which is "not at all", it drops what has come and was not read yet.
_NEVER = 3_600_000
#: Seconds after which those who wait are told of room again.
RETRY = 0.05
#: Messages that are taken in one turn of the reactor.
TURN = 100
DOMAIN = b"agents"
_ZAP = "inproc://zeromq.zap.01"


class Carrier(Protocol):
    """What has a connection's bytes."""

    def came(self, packed: Packed, key: str) -> None:
        """A frame; `key`: the public key that its sender has proven to have."""

    def nonsense(self, reason: str) -> None:
        """A message that is no frame."""

    def has_room(self) -> bool:
        """What waits may be tried again. True: nothing waits any more."""


@implementer(IReadDescriptor)
class _Readable:
    """A file descriptor that the reactor watches; `call` must not fail, or the reactor stops watching."""

    def __init__(self, descriptor: int, call: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._call = call

    def fileno(self) -> int:
        return self._descriptor

    def doRead(self) -> None:
        self._call()

    def connectionLost(self, _reason: Any) -> None:
        """Twisted: the reactor ends."""

    def logPrefix(self) -> str:
        return "zeromq"


class ZMQRouter:
    """Open from its making to `close`. `knows`: is this public key (hexadecimal) an account's, now?"""

    def __init__(self, reactor: Any, secret: str, knows: Callable[[str], bool]) -> None:
        """Raises `zmq.ZMQError`."""
        self._reactor = reactor
        self._knows = knows
        self._carriers: dict[int, Carrier] = {}
        #: numbers of those for whom something waits
        self._stalled: set[int] = set()
        self._soon: Any = None
        self._closed = False
        self._context = zmq.Context()
        try:
            self._zap = self._context.socket(zmq.REP)
            self._zap.bind(_ZAP)
            self._router = router = self._context.socket(zmq.ROUTER)
            router.curve_server = True
            router.curve_secretkey = bytes.fromhex(secret)
            router.zap_domain = DOMAIN
            router.router_mandatory = True  # what cannot be sent is told
            router.sndhwm = router.rcvhwm = HELD
            router.maxmsgsize = FRAME_BODY_MAX + 1024  # what encryption adds
            router.reconnect_ivl = _NEVER
            router.linger = LINGER
            router.handshake_ivl = 0  # the door counts the seconds
        except BaseException:
            self._context.destroy(linger=0)
            raise
        self._readers = [
            _Readable(int(self._router.getsockopt(zmq.FD)), self.pump),
            _Readable(int(self._zap.getsockopt(zmq.FD)), self._authenticate),
        ]
        for reader in self._readers:
            reactor.addReader(reader)

    def close(self) -> defer.Deferred[None]:
        """Everything is cut. Fires when libzmq's threads have ended, which may wait for what was to be sent."""
        if self._closed:
            return defer.succeed(None)
        self._closed = True
        for reader in self._readers:
            self._reactor.removeReader(reader)
        if self._soon is not None and self._soon.active():
            self._soon.cancel()
        self._carriers.clear()
        for opened in (self._router, self._zap):
            opened.close(linger=0)
        return threads.deferToThread(self._context.term)

    # -- connections --------------------------------------------------------------------------------------------------

    def connect(self, number: int, path: str, carrier: Carrier) -> None:
        """By the socket at `path`, where one connection is accepted. Each number once."""
        self._carriers[number] = carrier
        self._router.setsockopt(zmq.CONNECT_ROUTING_ID, _id(number))
        self._router.connect(f"ipc://{path}")
        self._pump_soon()

    def disconnect(self, number: int, path: str) -> None:
        """Once what was sent has left; nothing of it comes any more."""
        self._carriers.pop(number, None)
        self._stalled.discard(number)
        if not self._closed:
            with contextlib.suppress(zmq.ZMQError):  # it has ended by itself
                self._router.disconnect(f"ipc://{path}")
            self._pump_soon()

    def send(self, number: int, packed: Packed) -> bool:
        """False: there is no room, and the carrier is told of it. What is for nobody is dropped."""
        if self._closed:
            return True
        try:
            self._router.send_multipart((_id(number), packed.header, packed.body), zmq.NOBLOCK, copy=False)
        except zmq.Again:
            self._stalled.add(number)
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                log.error("frame_not_sent", reason=str(error))
        finally:
            self._pump_soon()  # sending takes notice of what has come, and the descriptor tells that once only
        return True

    # -- what comes ---------------------------------------------------------------------------------------------------

    # The ROUTER is never asked whether something has come (`zmq.EVENTS`): it would take the first part of a message,
    # and libzmq aborts the process where its connection is disconnected before the next part is read (its issue 3485).
    # Here each message is read whole, until there is none.

    def _pump_soon(self, delay: float = 0) -> None:
        if not self._closed and (self._soon is None or not self._soon.active()):
            self._soon = self._reactor.callLater(delay, self.pump)

    def pump(self) -> None:
        """Tells who waits of room, and takes what has come. Never raises: the reactor would stop watching."""
        try:
            for number in list(self._stalled):
                carrier = self._carriers.get(number)
                if carrier is None or carrier.has_room():
                    self._stalled.discard(number)
            for _ in range(TURN):
                if self._closed or not self._take():
                    break
            else:
                self._pump_soon()
        except Exception:
            log.exception("agents_not_read")
            self._pump_soon(RETRY)
        if self._stalled:
            self._pump_soon(RETRY)  # taking what comes takes notice of room, too

    def _take(self) -> bool:
        """One message, if there is one. One with more parts than a frame has is not kept, however many they are."""
        parts: list[zmq.Frame] = []
        more = True
        count = 0
        while more:
            try:
                part = self._router.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return False
            more = part.more
            count += 1
            if count <= 3:
                parts.append(part)
        carrier = self._carriers.get(int(parts[0].bytes))
        if carrier is None:
            return True
        if count != 3:
            carrier.nonsense(f"a message of {count - 1} parts; a frame has two")
        else:
            carrier.came(Packed(parts[1].bytes, parts[2].bytes), str(parts[1].get("User-Id")))
        return True

    # -- who is believed: ZAP, https://rfc.zeromq.org/spec/27/ ---------------------------------------------------------

    def _authenticate(self) -> None:
        """Answers who asks whether a key may come in. Never raises."""
        while not self._closed:
            try:
                request = self._zap.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            except zmq.ZMQError as error:
                log.error("agents_not_read", reason=str(error))
                return
            user = self._key_of(request)
            status = (b"400", b"this key is of no account") if user is None else (b"200", b"")
            with contextlib.suppress(zmq.ZMQError):  # the connection is gone
                self._zap.send_multipart((*request[:2], *status, (user or "").encode(), b""), zmq.NOBLOCK)

    def _key_of(self, request: list[bytes]) -> str | None:
        try:
            _version, _number, domain, _address, _routing_id, mechanism, key = request
            known = mechanism == b"CURVE" and domain == DOMAIN and self._knows(key.hex())
        except Exception:  # no request of ours to libzmq; whatever it is, it is no key
            log.exception("agent_not_let_in")
            return None
        return key.hex() if known else None


def _id(number: int) -> bytes:
    return b"%d" % number
