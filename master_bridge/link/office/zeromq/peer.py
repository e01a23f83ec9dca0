"""One connection by ZeroMQ, always encrypted (CURVE): Twisted has it, libzmq what is said on it.

Bytes go through this process between an agent's connection and the ROUTER (`router`): so a connection is
counted, bounded and ended like those of each other wire, before libzmq knows of it as well as after.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import structlog
import zmq
from twisted.internet import interfaces, protocol
from zope.interface import implementer

from contracts.frames.codec import GREETING_MAX, Packed
from master_bridge.link.office.accounts import Certified
from master_bridge.link.office.connected_peer import LINGER, ConnectedPeer
from master_bridge.link.office.door import Door
from master_bridge.link.office.zeromq.meeting import Meeting
from master_bridge.link.office.zeromq.router import ZMQRouter

log = structlog.get_logger(__name__)

#: Bytes beside a frame's own: greeting, handshake, encryption, and what Twisted reads at once.
_OVERHEAD = 128 * 1024
#: … before the login: greeting and handshake have some 700.
_GREETING_OVERHEAD = 2048
_UNKNOWN = "its key is of no account, or it takes this master for one with another key"
#: How each connection begins: the signature of ZMTP, its major version, and further on the security mechanism.
_SIGNATURE, _VERSION, _MECHANISM, _GREETING = slice(0, 10), slice(10, 11), slice(12, 32), 64


def greeting_problem(begun: bytes) -> str | None:
    """Why this is not how a connection of ours begins, as far as it has come; None: it may be one."""
    signature = begun[_SIGNATURE]
    if signature[:1] not in (b"", b"\xff") or (len(signature) == 10 and not signature[9] & 1):
        return "what came is no ZeroMQ"
    if begun[_VERSION] and begun[_VERSION] < b"\x03":
        return "a version of ZeroMQ's protocol before 3.0, which has no encryption"
    mechanism = begun[_MECHANISM]
    if len(mechanism) == 20 and mechanism.rstrip(b"\0") != b"CURVE":
        return "it does not encrypt by CURVE"
    return None


class Gathering(Protocol):
    """What connections have in common: their listener."""

    @property
    def reactor(self) -> Any: ...
    @property
    def door(self) -> Door: ...
    @property
    def router(self) -> ZMQRouter: ...

    def socket_path(self, number: int) -> str:
        """Of the local socket between a connection and the ROUTER."""

    def known(self, peer: ZMQPeer) -> None:
        """A connection is there."""

    def forget(self, peer: ZMQPeer) -> None:
        """It is gone."""


class _AgentSide(protocol.Protocol):
    """The agent's connection."""

    def __init__(self, peer: ZMQPeer) -> None:
        self._peer = peer

    def connectionMade(self) -> None:
        self._peer.agent_came()

    def dataReceived(self, data: bytes) -> None:
        self._peer.agent_said(data)

    def connectionLost(self, reason: Any = protocol.connectionDone) -> None:
        self._peer.agent_left()


class _RouterSide(protocol.Protocol):
    """The ROUTER's end of it."""

    def __init__(self, peer: ZMQPeer) -> None:
        self._peer = peer

    def connectionMade(self) -> None:
        self._peer.router_came()

    def dataReceived(self, data: bytes) -> None:
        self._peer.router_said(data)

    def connectionLost(self, reason: Any = protocol.connectionDone) -> None:
        self._peer.router_left()


@implementer(interfaces.IPushProducer)
class _Flow:
    """Who waits while somebody else reads slowly. That the slow one is gone ends nothing here."""

    def __init__(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self.pauseProducing = pause
        self.resumeProducing = resume

    def stopProducing(self) -> None:
        """Twisted: the slow one is gone."""


class ZMQPeer(ConnectedPeer):
    """One connection: a `Peer` for the door, a `Carrier` for the ROUTER, bytes between the two."""

    def __init__(self, listener: Gathering, number: int) -> None:
        super().__init__(listener.reactor, listener.door)
        self._listener = listener
        self._number = number
        self._path = listener.socket_path(number)
        self._agent = _AgentSide(self)
        self._agent_there = False
        self._router = _RouterSide(self)
        self._router_there = False
        #: where the ROUTER is waited for, once the agent has begun as one of ours does
        self._waits: Meeting | None = None
        self._began = b""
        #: bytes for the ROUTER until it is there
        self._early: list[bytes] = []
        self._limit = GREETING_MAX
        #: bytes that the ROUTER was given since its last frame
        self._unread = 0
        self._router_full = False
        self._heard = False
        self._key = ""

    @property
    def protocol(self) -> protocol.Protocol:
        """For the agent's connection."""
        return self._agent

    # -- the door's side ----------------------------------------------------------------------------------------------

    @property
    def _transport(self) -> Any:
        return self._agent.transport

    @property
    def host(self) -> str:
        return str(getattr(self._transport.getPeer(), "host", "?"))

    @property
    def certified(self) -> Certified | None:
        user = self._door.accounts.user_of(self._key)
        return None if user is None else Certified(user=user, by="key", key=self._key)

    def limit(self, size: int) -> None:
        self._limit = size

    def _write(self, packed: Packed) -> None:
        """To the ROUTER; where that has no room, it waits for it."""
        if not self._listener.router.send(self._number, packed):
            self._waiting.appendleft(packed)
            self._backlog += len(packed.header) + len(packed.body)
            self._paused = True

    def end(self) -> None:
        self.resumeProducing()
        self._listener.router.disconnect(self._number, self._path)  # what it holds leaves first
        self._cut_in(LINGER if self._heard else 0.0)

    def _cut_in(self, seconds: float) -> None:
        if self._cutting is None and (self._agent_there or self._router_there):
            self._cutting = self._reactor.callLater(seconds, self.cut)

    def cut(self) -> None:
        """At once, both ends."""
        self._listener.router.disconnect(self._number, self._path)
        for side, there in ((self._agent, self._agent_there), (self._router, self._router_there)):
            if there:
                side.transport.abortConnection()
        self._stop_waiting()

    # -- the ROUTER's side --------------------------------------------------------------------------------------------

    def came(self, packed: Packed, key: str) -> None:
        """A frame."""
        self._heard, self._key = True, key
        self._unread = 0
        self._hear_agent()
        visitor = self._visitor
        if visitor is None or visitor.over:
            return
        if len(packed.header) + len(packed.body) > self._limit:
            visitor.broken(f"what came is no frame: one of more than the {self._limit} bytes allowed here")
        else:
            visitor.received(packed)

    def nonsense(self, reason: str) -> None:
        """A message that is no frame."""
        self._heard = True
        if self._visitor is not None:
            self._visitor.broken(f"what came is no frame: {reason}")

    def has_room(self) -> bool:
        """What waits is tried again."""
        self.resumeProducing()
        return not self._paused

    def router_came(self) -> None:
        """Its connection is there."""
        self._router_there = True
        self._stop_waiting()
        agent, router = self._agent.transport, self._router.transport
        assert agent is not None
        assert router is not None
        wait = self._make_agent_wait
        router.registerProducer(
            _Flow(partial(wait, True), partial(wait, False)), True
        )  # the agent waits for the ROUTER
        if not self._agent_there:
            router.abortConnection()
            return
        agent.registerProducer(
            _Flow(router.pauseProducing, router.resumeProducing), True
        )  # … which waits for the agent
        for data in self._early:
            router.write(data)
        self._early.clear()

    def router_said(self, data: bytes) -> None:
        """For the agent; while that is slow, nothing is read here."""
        if self._agent_there:
            self._agent.transport.write(data)

    def router_left(self) -> None:
        """libzmq has ended the connection: it was told to, the agent has, or what that said is not to be believed."""
        self._router_there = False
        self._listener.router.pump()  # what was said before that
        visitor = self._visitor
        if self._agent_there and visitor is not None and self._heard:
            visitor.broken("what it sent is no ZeroMQ, or longer than a frame is")
        elif visitor is not None and not self._heard:  # the agent may have been told, and ended first
            visitor.turned_away(_UNKNOWN)
        if self._agent_there:
            self._agent.transport.unregisterProducer()
            self._agent.transport.loseConnection()
            self._cut_in(LINGER)
        else:
            self._gone()

    # -- the agent's side ---------------------------------------------------------------------------------------------

    def agent_came(self) -> None:
        """Its connection is there, and has said nothing yet."""
        self._agent_there = True
        transport: Any = self._agent.transport
        transport.setTcpNoDelay(True)
        self._listener.known(self)
        self._visitor = self._door.came_in(self)
        if self._visitor is None:
            self.cut()

    def agent_said(self, data: bytes) -> None:
        """For the ROUTER, once it begins as it should; no more of it than one frame can have."""
        visitor = self._visitor
        if visitor is None or visitor.over:
            return
        if len(self._began) < _GREETING:
            self._began = (self._began + data)[:_GREETING]
            if (problem := greeting_problem(self._began)) is not None:
                visitor.broken(problem)
                return
        self._unread += len(data)
        before_login = self._limit <= GREETING_MAX
        if before_login and self._unread > self._limit + _GREETING_OVERHEAD:
            visitor.broken(f"more than the {self._limit} bytes allowed before a login")
            return
        if self._router_there:
            self._router.transport.write(data)
        else:
            self._early.append(data)
            self._reach_router()
        self._hear_agent()

    def _hear_agent(self) -> None:
        """Is more read of it, or not now?"""
        transport: Any = self._agent.transport
        if self._agent_there and not transport.disconnecting:
            full = self._router_full or self._unread > self._limit + _OVERHEAD
            (transport.pauseProducing if full else transport.resumeProducing)()

    def _reach_router(self) -> None:
        if self._waits is None and len(self._began) >= 10:
            try:
                self._waits = Meeting(self._reactor, self._path, self._router, self._not_met)
                self._listener.router.connect(self._number, self._path, self)
            except (OSError, zmq.ZMQError) as error:  # no more sockets, no room for one
                self._not_met(error)

    def _not_met(self, error: Exception) -> None:
        log.error("agent_connection_failed", reason=str(error))
        if self._visitor is not None:
            self._visitor.broken("this master cannot take it now")

    def _stop_waiting(self) -> None:
        if self._waits is not None:
            self._waits.close()

    def agent_left(self) -> None:
        """Its connection is gone. What it said before that is heard first."""
        self._agent_there = False
        if self._router_there:
            self._router.transport.unregisterProducer()
            self._router.transport.loseWriteConnection()
            self._router.transport.resumeProducing()
            self._cut_in(LINGER)
        else:
            self._gone()

    def _make_agent_wait(self, wait: bool) -> None:
        """The ROUTER reads too slowly, or has room again."""
        self._router_full = wait
        self._hear_agent()

    def _gone(self) -> None:
        """Neither end is there any more."""
        self._listener.router.disconnect(self._number, self._path)
        self._stop_waiting()
        self._waiting.clear()
        self._listener.forget(self)
        self._lost()
