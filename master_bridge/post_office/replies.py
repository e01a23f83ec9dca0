"""What agents say to operators' programs, each until it is settled: none outlives the program's connection. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from contracts.codec import Wire
from contracts.frames.frames import AgentReply, Carried
from master_bridge.post_office.actions import SendFrame

#: Bytes of what waits for one program, under way or not: what does not fit, agents say again later.
REPLIES_BYTES_MAX = 64 * 1024 * 1024
#: Bytes under way to it that it has not settled; one reply may always go.
UNDER_WAY_MAX = 4 * 1024 * 1024


@dataclass
class OperatorsMail:
    """Of the connection that receives for one name."""

    connection: int
    user: str
    _waiting: deque[tuple[AgentReply, bytes, int]] = field(default_factory=deque)
    _under_way: dict[int, int] = field(default_factory=dict)
    _numbers: int = 0
    #: of all, and of what is under way
    _bytes: int = 0
    _sent: int = 0

    def add(self, to: Literal["claims", "events"], user: str, wire: Wire) -> bool:
        """False: it is full. What goes out of it comes from `next`."""
        size = len(wire.body) + sum(len(name) + len(str(value)) for name, value in wire.headers.items())
        if self._bytes + size > REPLIES_BYTES_MAX:
            return False
        self._numbers += 1
        headers = {name: str(value) for name, value in wire.headers.items()}
        carried = Carried(type=wire.type, content_type=wire.content_type, headers=headers)
        reply = AgentReply(delivery=self._numbers, to=to, user=user, message=carried)
        self._waiting.append((reply, wire.body, size))
        self._bytes += size
        return True

    def next(self) -> Iterator[SendFrame]:
        """What can be under way now."""
        while self._waiting and (not self._under_way or self._sent + self._waiting[0][2] <= UNDER_WAY_MAX):
            reply, body, size = self._waiting.popleft()
            self._under_way[reply.delivery] = size
            self._sent += size
            yield SendFrame(connection=self.connection, frame=reply, body=body)

    def settle(self, delivery: int) -> None:
        """It is done with; a number that is not under way is nothing."""
        size = self._under_way.pop(delivery, 0)
        self._bytes -= size
        self._sent -= size


@dataclass
class OperatorsReplies:
    """By the name of the program."""

    _mail: dict[str, OperatorsMail] = field(default_factory=dict)

    def receive(self, name: str, connection: int, user: str) -> bool:
        """From now on; False: another account receives for it. What an earlier connection had is said again."""
        known = self._mail.get(name)
        if known is not None and known.user != user:
            return False
        self.leave(connection)
        self._mail[name] = OperatorsMail(connection, user)
        return True

    def leave(self, connection: int) -> None:
        """It has ended."""
        for name in [name for name, mail in self._mail.items() if mail.connection == connection]:
            del self._mail[name]

    def to(self, name: str) -> OperatorsMail | None:
        """None: nobody receives for it."""
        return self._mail.get(name)

    def of(self, connection: int) -> OperatorsMail | None:
        """None: it receives for nobody."""
        return next((mail for mail in self._mail.values() if mail.connection == connection), None)

    def __len__(self) -> int:
        return len(self._mail)
