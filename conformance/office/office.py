"""A post office for one agent at a time, over frames: what the kit uses instead of a broker.

It has what `conformance.broker.Broker` has, and cuts connections, too. Blocking, in one thread.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from conformance.broker import OnMessage
from conformance.office.entrance import ACCOUNT, AgentLine, Came, Entrance
from contracts import topology
from contracts.codec import Wire
from contracts.errors import BadName
from contracts.frames.codec import NotAFrame, Packed, pack, unpack
from contracts.frames.frames import (
    FRAMES_VERSION,
    Answer,
    Beat,
    Bye,
    Carried,
    ConsumeFrom,
    Denied,
    Frame,
    Hello,
    LookFor,
    Missing,
    Offered,
    Say,
    Settle,
    There,
    Told,
    Welcome,
)

#: Seconds, as `Welcome` says them.
SILENCE = 15.0


@dataclass
class Waiting:
    """An offer: in the queue, or with the agent."""

    wire: Wire
    user: str
    redelivered: bool = False


class KitOffice:
    """From when it is made to `close`, which closes the entrance."""

    def __init__(self, entrance: Entrance, *, signature: str) -> None:
        self.queue = topology.cap_queue(signature)
        #: in whose name the master speaks
        self.login = self.user = ""
        self.product = entrance.product
        #: for COMMAND
        self.url = entrance.url
        self._entrance = entrance
        self._on: dict[str, OnMessage] = {}
        self._offers: deque[Waiting] = deque()
        self._line: AgentLine | None = None
        self._end("")

    def of_master(self, name: str) -> KitOffice:
        """This one, for a master of this name."""
        self.login, self.user = f"{name}@kit", topology.key_word(f"{name}@kit")
        return self

    def _end(self, reason: str) -> None:
        """The connection is gone; what it held goes back to its queue, first."""
        if self._line is not None and reason:
            self._send(Bye(reason=reason))  # which ends it, where nobody is there any more
        if self._line is not None:
            self._line.close()
            for held in sorted(self._held, reverse=True):
                self._held[held].redelivered = True
                self._offers.appendleft(self._held[held])
        self._line = None
        self._held: dict[int, Waiting] = {}
        self._address = ""
        self._handed = 0
        #: it may be handed an offer: it has asked since the last one
        self._asked = False
        self._sent = time.monotonic()

    def cut(self) -> None:
        """As a network that is gone: nothing is said, and what is under way is lost."""
        self._entrance.cut()
        self._end("")

    # -- what the kit asks of a broker

    def declare(self, *, reply: OnMessage, parked: OnMessage, dead: OnMessage, status: OnMessage) -> None:
        """Who is told of what the agent says."""
        self._on = {"reply": reply, "parked": parked, "dead": dead, "status": status}

    def process(self, seconds: float) -> None:
        """Let messages in; returns after so many seconds at the latest."""
        end = time.monotonic() + seconds
        while True:
            came = self._entrance.wait(max(0.0, end - time.monotonic()))
            for each in came:
                self._happened(each)
            if self._address and time.monotonic() - self._sent > SILENCE / 3:
                self._send(Beat())
            if not came:
                return

    def _happened(self, came: Came) -> None:
        if came.what == "opened":
            self._end("another connection has come")
            self._line = came.line
        elif came.line is not self._line:
            return  # of a connection that is over
        elif came.what == "gone":
            self._end("")
        elif came.what == "nonsense":
            self._end(f"what came is no frame: {came.problem}")
        else:
            try:
                self._came(came.packed)
            except NotAFrame as error:
                self._end(f"what came is no frame: {error}")

    def publish(
        self, wire: Wire, exchange: str, key: str, *, user_id: str | None = "", headers: Mapping[str, Any] | None = None
    ) -> bool:
        """False when nobody is there. `user_id` None: nobody's; "": the master's; `headers`: more than it has."""
        user = self.login if user_id == "" else user_id or ""
        if exchange == topology.OFFERS:
            if key != self.queue:
                return False
            self._offers.append(Waiting(wire=wire, user=user))
            self._hand_out()
            return True
        if not self._address or (
            exchange == topology.CONTROL and key not in (self._address, topology.BROADCAST, topology.TELL)
        ):
            return False
        more = {name: value if isinstance(value, str) else json.dumps(value) for name, value in (headers or {}).items()}
        told = Told(exchange=exchange, key=key, user=user, message=_carried(wire, more))
        self._send(told, wire.body)
        return True

    def waiting(self) -> int:
        """Offers in the queue that nobody holds."""
        return len(self._offers)

    def consumers(self) -> int:
        """Agents that ask for an offer, or would be handed one that came."""
        return int(self._asked)

    def purge(self) -> None:
        """Nothing waits in the queue then."""
        self._offers.clear()

    def close(self) -> None:
        """Nobody is met any more."""
        self._end("the kit has done its work")
        self._entrance.close()

    # -- the connection

    def _send(self, frame: Frame, body: bytes = b"") -> None:
        if self._line is None:
            return
        self._sent = time.monotonic()
        try:
            self._line.send(pack(frame, body))
        except OSError:
            self._end("")

    def _came(self, packed: Packed) -> None:
        frame = unpack(packed)
        if not self._address:
            self._log_in(frame)
        elif isinstance(frame, Say):
            self._said(frame, packed.body)
        elif isinstance(frame, ConsumeFrom):
            if frame.seen == self._handed:
                for queue in set(frame.queues) - {self.queue}:
                    self._send(Missing(queue=queue))
                self._asked = self.queue in frame.queues
                self._hand_out()
        elif isinstance(frame, Settle):
            self._settle(frame)
        elif isinstance(frame, LookFor):
            there = tuple(queue for queue in frame.queues if queue == self.queue)
            self._send(There(number=frame.number, queues=there))
        elif isinstance(frame, Bye):
            self._end("")
        elif not isinstance(frame, Beat):
            self._end(f"a {frame.f} is no agent's")

    def _log_in(self, frame: Frame) -> None:
        try:
            problem = None
            if not isinstance(frame, Hello):
                problem = "the first frame is no hello"
            elif frame.version != FRAMES_VERSION or frame.user != ACCOUNT:
                problem = f"its version is to be {FRAMES_VERSION} and its user {ACCOUNT!r}"
            elif topology.address_user(frame.address) != ACCOUNT:
                problem = "the address is another account's"
        except BadName as error:
            problem = str(error)
        if problem is not None:
            self._send(Denied(part="login", reason=problem))
            self._end(problem)
            return
        assert isinstance(frame, Hello)
        self._address = frame.address
        self._send(Welcome(version=FRAMES_VERSION, product=self.product, silence=SILENCE))

    def _said(self, frame: Say, body: bytes) -> None:
        self._send(Answer(number=frame.number, outcome="taken"))
        key = topology.STATUS_KEY if frame.to == "fleet" else f"{ACCOUNT}.{frame.key}.{frame.to}"
        expires = None if frame.expires is None else str(round(frame.expires * 1000))
        properties = _properties(frame.message, user=ACCOUNT, expiration=expires)
        if (heard := {"fleet": "status", "dead": "dead", "control": None}.get(frame.to, "reply")) is not None:
            self._on[heard](None, SimpleNamespace(routing_key=key), properties, body)

    def _hand_out(self) -> None:
        if not (self._asked and self._offers):
            return
        offer = self._offers.popleft()
        self._handed += 1
        self._held[self._handed] = offer
        self._asked = False
        self._send(
            Offered(
                delivery=self._handed, queue=self.queue, user=offer.user, redelivered=offer.redelivered, parkings=0,
                message=_carried(offer.wire),
            ),
            offer.wire.body,
        )  # fmt: skip

    def _settle(self, frame: Settle) -> None:
        offer = self._held.pop(frame.delivery, None)
        if offer is None:
            return
        if frame.how == "back":
            offer.redelivered = True
            self._offers.appendleft(offer)
            self._hand_out()
        elif frame.how != "ack":
            headers = {topology.DEAD_REASON_HEADER: frame.reason} if frame.how == "dead" else {}
            properties = _properties(_carried(offer.wire, headers), user=ACCOUNT, expiration=None)
            heard = self._on["parked" if frame.how == "park" else "dead"]
            heard(None, SimpleNamespace(routing_key=self.queue), properties, offer.wire.body)


def _carried(wire: Wire, more: Mapping[str, str] = {}) -> Carried:
    headers = {name: str(value) for name, value in wire.headers.items()}
    return Carried(type=wire.type, content_type=wire.content_type, headers={**headers, **more})


def _properties(message: Carried, *, user: str, expiration: str | None) -> SimpleNamespace:
    """As AMQP has them. What goes to a post office is kept as well as that keeps it."""
    return SimpleNamespace(
        type=message.type, content_type=message.content_type, headers=message.headers, user_id=user,
        expiration=expiration, delivery_mode=2,
    )  # fmt: skip
