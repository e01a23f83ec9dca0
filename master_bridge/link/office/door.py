"""Where agents come in, whatever their wire: logins, heartbeats, and what is bounded before and after a login."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import structlog
from twisted.internet import task

from contracts.errors import BadName
from contracts.frames.both_ends import Ends
from contracts.frames.codec import FRAME_MAX, GREETING_MAX, NotAFrame, Packed, pack, unpack
from contracts.frames.frames import FRAMES_VERSION, Beat, Bye, Denied, Frame, Hello, Welcome
from contracts.operations.broker_failure import plain
from contracts.operations.program_version import version
from contracts.topology import address_user, key_word
from master_bridge.link.errors import BadSettings
from master_bridge.link.office.accounts import AgentAccounts, Certified, KnownAgent

log = structlog.get_logger(__name__)

#: Seconds without a frame after which a connection is given up; a beat goes out three times as often.
SILENCE = 15.0
#: Seconds for a login, TLS included, and how many connections may be without one: the oldest makes room.
LOGIN_TIMEOUT = 10.0
UNKNOWN_MAX = 100
#: … of them from one host, so that one machine does not take the places of all others.
UNKNOWN_OF_HOST_MAX = 20
#: Connections in all.
CONNECTIONS_MAX = 10_000
#: Refused logins of one host that are told in the log, until one of it succeeds.
TOLD_OF_HOST_MAX = 5
#: Hosts of which that is remembered.
HOSTS_MAX = 1_000

_DenialPart = Literal["login", "version", "address", "full", "master"]


class AddressTaken(Exception):
    """Nobody can be listened for, now: most often another process does, such as this master's former one."""


class Peer(Protocol):
    """One connection of a wire."""

    @property
    def host(self) -> str:
        """Where it comes from, for people: an address without its port."""

    @property
    def certified(self) -> Certified | None:
        """Whose it is, where its wire has verified that."""

    @property
    def ends(self) -> Ends | None:
        """Its two ends as this machine sees them, the other's first; None: its wire is no TCP connection of its own."""

    def limit(self, size: int) -> None:
        """Read frames of at most so many bytes from now on."""

    def send(self, packed: Packed) -> None:
        """In order, without waiting; a peer that reads too slowly is ended by its wire."""

    def end(self) -> None:
        """Close once what was sent is on its way, and tell nobody; the wire sees to it that it is closed soon."""


class Office(Protocol):
    """Whom the door hands frames to. Connections are numbered, no number comes twice."""

    def joined(self, connection: int, account: KnownAgent, hello: Hello) -> Denied | None:
        """A login is good. The answer is why it may not come in all the same; None: it may, and is told so first."""

    def came(self, connection: int, frame: Frame, body: bytes) -> None:
        """A frame of a connection that has joined."""

    def left(self, connection: int, *, died: bool = False) -> None:
        """It has ended; nothing comes of it any more. `died`: because all processes of its agent that hold it have."""


@dataclass(eq=False)
class Visitor:
    """One connection, from its first byte on. The wire tells it what comes, and when it is over."""

    door: Door
    peer: Peer
    number: int
    since: float
    heard: float
    sent: float
    #: who it is for certain, whatever its hello says: by the way it came
    own: KnownAgent | None = None
    account: KnownAgent | None = None
    over: bool = False
    #: all processes of its agent that keep sessions hold this very connection, with nobody between who could end it
    held_by_all: bool = False

    def received(self, packed: Packed) -> None:
        """A frame came."""
        if not self.over:
            self.door.received(self, packed)

    def broken(self, reason: str) -> None:
        """It sent what is no frame, or reads too slowly: it is ended."""
        self.door.end(self, reason)

    def turned_away(self, reason: str) -> None:
        """The wire has not let it in."""
        self.door.turn_away(self, Denied(part="login", reason=reason), "")

    def gone(self, *, ended: bool = False) -> None:
        """The wire has lost it. `ended`: its other end was closed in order, as TCP sees it, without a goodbye."""
        self.door.forget(self, died=ended and self.held_by_all)


@dataclass
class Door:
    """Open from `open` to `close`. `silence`: seconds, as `Welcome` says them."""

    reactor: Any
    accounts: AgentAccounts
    office: Office
    silence: float = SILENCE
    _visitors: dict[int, Visitor] = field(default_factory=dict)
    _unknown: dict[int, Visitor] = field(default_factory=dict)  # those without a login, the oldest first
    _numbers: int = 0
    _refused: dict[str, int] = field(default_factory=dict)
    _trouble: str = ""
    _looking: task.LoopingCall | None = None

    def open(self) -> None:
        """Begin to look after those who come."""
        self._looking = task.LoopingCall(self._look)
        self._looking.clock = self.reactor
        self._looking.start(min(self.silence / 3, 5.0), now=False)

    def close(self, reason: str) -> None:
        """End all connections."""
        if self._looking is not None and self._looking.running:
            self._looking.stop()
        for visitor in list(self._visitors.values()):
            self.end(visitor, reason)

    def came_in(self, peer: Peer, own: KnownAgent | None = None) -> Visitor | None:
        """A wire has a new connection. None: there is no room, and it is to be closed at once.

        `own`: who it is, without an account, by the way it came: a socket that only one user can open.
        """
        self._make_room(peer.host)
        if len(self._visitors) >= CONNECTIONS_MAX:
            log.warning("agents_door_full", connections=len(self._visitors), remedy="this fleet needs RabbitMQ")
            return None
        self._numbers += 1
        now = self.reactor.seconds()
        visitor = Visitor(door=self, peer=peer, number=self._numbers, since=now, heard=now, sent=now, own=own)
        peer.limit(GREETING_MAX)
        self._visitors[visitor.number] = self._unknown[visitor.number] = visitor
        return visitor

    def _make_room(self, host: str) -> None:
        """Whoever has waited longest without logging in goes first, of this host where it has most places."""
        of_host = [visitor for visitor in self._unknown.values() if visitor.peer.host == host]
        if len(of_host) >= UNKNOWN_OF_HOST_MAX:
            self.end(of_host[0], "too many connections of this host without a login")
        elif len(self._unknown) >= UNKNOWN_MAX:
            self.end(next(iter(self._unknown.values())), "too many connections without a login")

    # -- what comes --------------------------------------------------------------------------------------------------

    def received(self, visitor: Visitor, packed: Packed) -> None:
        """A frame of this visitor; whatever it is, only this visitor can suffer from it."""
        visitor.heard = self.reactor.seconds()
        try:
            frame = unpack(packed)
        except NotAFrame as error:
            self.end(visitor, f"what came is no frame: {error}")
            return
        if visitor.account is None:
            self._log_in(visitor, frame)
        elif isinstance(frame, Bye):
            log.debug("agent_said_bye", user=visitor.account.user, reason=plain(frame.reason))
            self.end(visitor, "goodbye")
        elif isinstance(frame, Hello):
            self.end(visitor, "a second hello")
        elif not isinstance(frame, Beat):
            self._guarded(visitor, lambda: self.office.came(visitor.number, frame, packed.body))
        elif frame.ends is not None:
            visitor.held_by_all = frame.ends == visitor.peer.ends

    def _log_in(self, visitor: Visitor, frame: Frame) -> None:
        if not isinstance(frame, Hello):
            self.end(visitor, "the first frame is no hello")
            return
        denied, account = self._checked(visitor, frame)
        if denied is None and account is not None:
            visitor.account = account
            self._unknown.pop(visitor.number, None)
            self._refused.pop(visitor.peer.host, None)
            visitor.peer.limit(FRAME_MAX)
            welcome = Welcome(version=FRAMES_VERSION, product=f"Buildbot master {version()}", silence=self.silence)
            self._send(visitor, welcome)
            self._guarded(visitor, lambda: self._join(visitor, account, frame))
        elif denied is not None:
            self.turn_away(visitor, denied, frame.user)

    def _join(self, visitor: Visitor, account: KnownAgent, hello: Hello) -> None:
        denied = self.office.joined(visitor.number, account, hello)
        if denied is not None:
            visitor.account = None  # it never came in, so nobody hears that it left
            self.turn_away(visitor, denied, account.user)

    def _checked(self, visitor: Visitor, hello: Hello) -> tuple[Denied | None, KnownAgent | None]:
        if hello.version != FRAMES_VERSION:
            reason = f"version {hello.version} of the frames; this master speaks {FRAMES_VERSION}: upgrade the older"
            return _denied("version", reason), None
        self._refresh()
        token = None if hello.token is None else hello.token.get_secret_value()
        certified = visitor.peer.certified
        account = visitor.own or self.accounts.check(hello.user, token, certified)
        if account is None and certified is not None and certified.by != "certificate" and certified.user != hello.user:
            reason = f"the key is account {certified.user!r}'s, and the URL names {plain(hello.user)!r}"
            return _denied("login", reason), None
        if account is None or hello.role != account.role or hello.user != account.user:
            shown = "token, certificate or key"
            reason = f"no account {plain(hello.user)!r} with this {shown} may come in as {hello.role}"
            return _denied("login", f"{reason}; `master-bridge enroll` makes accounts"), None
        try:
            own = address_user(hello.address) == key_word(account.user)
        except BadName:
            own = False
        return (None, account) if own else (_denied("address", "the address is another account's"), None)

    def turn_away(self, visitor: Visitor, denied: Denied, user: str) -> None:
        """Tell it why, and the log as long as its host is not told of too often; and end it."""
        if visitor.over:
            return
        host = visitor.peer.host
        told = self._refused.pop(host, 0) + 1
        self._refused[host] = told
        while len(self._refused) > HOSTS_MAX:
            self._refused.pop(next(iter(self._refused)))
        if told <= TOLD_OF_HOST_MAX:
            log.warning("agent_not_let_in", host=host, user=plain(user), part=denied.part, reason=denied.reason)
        self._send(visitor, denied)
        self.end(visitor, denied.reason, say=False)

    def _guarded(self, visitor: Visitor, call: Callable[[], None]) -> None:
        """An error in what one of them asks for ends its connection, and nobody else's."""
        try:
            call()
        except Exception:
            log.exception("agent_frame_not_handled", user=visitor.account and visitor.account.user)
            self.end(visitor, "what it sent could not be handled")

    # -- what goes ---------------------------------------------------------------------------------------------------

    def send(self, connection: int, frame: Frame, body: bytes = b"") -> None:
        """To a connection that has joined; to one that is gone: nothing happens."""
        visitor = self._visitors.get(connection)
        if visitor is not None:
            self._send(visitor, frame, body)

    def knows_key(self, key: str) -> bool:
        """Is this public key (hexadecimal digits) an account's, as the file has it now?"""
        self._refresh()
        return self.accounts.user_of(key) is not None

    def disconnect(self, connection: int, reason: str) -> None:
        """End it, and tell it why."""
        if (visitor := self._visitors.get(connection)) is not None:
            self.end(visitor, reason)

    def _send(self, visitor: Visitor, frame: Frame, body: bytes = b"") -> None:
        visitor.sent = self.reactor.seconds()
        visitor.peer.send(pack(frame, body))

    def end(self, visitor: Visitor, reason: str, *, say: bool = True) -> None:
        """Tell it why, close it, and tell the office where it had joined."""
        if visitor.over:
            return
        visitor.over = True
        if visitor.account is not None and reason != "goodbye":
            log.warning("agent_disconnected", user=visitor.account.user, host=visitor.peer.host, reason=reason)
        if say:
            self._send(visitor, Bye(reason=reason))
        visitor.peer.end()
        self._remove(visitor)

    def forget(self, visitor: Visitor, *, died: bool = False) -> None:
        """Its wire has lost it. `died`: because all of its agent's processes that hold it have ended."""
        if not visitor.over:
            visitor.over = True
            self._remove(visitor, died=died)

    def _remove(self, visitor: Visitor, *, died: bool = False) -> None:
        self._visitors.pop(visitor.number, None)
        self._unknown.pop(visitor.number, None)
        if visitor.account is not None:
            self.office.left(visitor.number, died=died)

    # -- what falls due ----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        now = self.reactor.seconds()
        if self._refresh():
            for visitor in list(self._known()):
                assert visitor.account is not None
                if visitor.own is None and not self.accounts.stands(visitor.account):
                    self.end(visitor, "its account was removed or changed")
        for visitor in list(self._unknown.values()):
            if now - visitor.since >= LOGIN_TIMEOUT:
                self.end(visitor, "no login in time")
        for visitor in list(self._known()):
            if now - visitor.heard >= self.silence:
                self.end(visitor, f"nothing was heard of it for {self.silence:g} s")
            elif now - visitor.sent >= self.silence / 3:
                self._send(visitor, Beat())

    def _known(self) -> Iterator[Visitor]:
        return (visitor for visitor in self._visitors.values() if visitor.account is not None)

    def _refresh(self) -> bool:
        """A file that cannot be read changes nothing, and is told once."""
        try:
            changed = self.accounts.refresh()
        except BadSettings as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                log.error(
                    "accounts_unreadable", reason=self._trouble, effect="the accounts that were read before count"
                )
            return False
        self._trouble = ""
        return changed


def _denied(part: _DenialPart, reason: str) -> Denied:
    return Denied(part=part, reason=reason)
