"""`OperatorsLink` to a master that is its own broker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from types import SimpleNamespace
from typing import Any, TypeVar, Union

from pydantic import SecretStr

from contracts import topology
from contracts.codec import encode
from contracts.frames.codec import NotAFrame, pack, unpack
from contracts.frames.frames import (
    FRAMES_VERSION,
    AgentReply,
    Answer,
    Beat,
    Bye,
    Carried,
    Counted,
    CountQueues,
    Denied,
    Frame,
    Hello,
    NextDead,
    OfDead,
    Receive,
    Received,
    Say,
    SettleDead,
    Told,
    Welcome,
)
from contracts.messages import AnyMessage, Message
from contracts.operations.amqp_url import BadURL
from contracts.operations.broker_failure import BrokerFailure, plain, unheard
from contracts.operations.office_url import parse_office_url
from contracts.trust.envelope import Envelope
from master_bridge.link.carried import Delivered
from master_bridge.link.errors import BadSettings
from master_bridge.link.office.own_socket import OWN_OPERATOR
from master_bridge.link.settings import PLAIN_WITH_TLS, TLSSettings
from master_bridge.operating.deadletters import DeadMessage, Verdict, headers_of_again, read
from master_bridge.operating.errors import NotPermitted, OperatingError, Unreachable
from master_bridge.operating.office.wire import BlockingWire, folder_of, open_at, open_own, strange
from master_bridge.operating.port import TIMEOUT, CameBack, HearFleet, HearReply, QueueFigures, Sign

#: Seconds between two calls of `wait` after which silence is our own, not the master's.
IDLE = 1.0

#: Frames that are read in one go while they come.
FRAMES_AT_ONCE = 100

Answered = TypeVar("Answered", Answer, Counted, OfDead)


class OfficeOperatorsLink:
    """One connection; everything that comes is read within a call."""

    def __init__(self, wire: BlockingWire, sign: Sign | None) -> None:
        self._wire = wire
        self._sign = sign
        self._silence = 0.0
        self._heard = self._sent = self._waited = time.monotonic()
        self._numbers = 0
        self._hear: HearFleet | None = None
        self._user = ""
        #: of `receive`
        self._master = ""
        self._heard_reply: HearReply | None = None
        self._came_back: CameBack | None = None
        #: number of a `Say` that nobody waits for -> what it said, and to which address
        self._hints: dict[int, tuple[AnyMessage, str]] = {}

    def log_in(self, user: str, token: str | None) -> None:
        """Raises `Unreachable` with what the master says of it."""
        hello = Hello(
            version=FRAMES_VERSION,
            role="operator",
            user=user,
            token=None if token is None else SecretStr(token),
            agent="operator",
            address=topology.control_address(user, "operator", token_hex(6)),
        )
        self._wire.send(pack(hello))
        came = self._next(TIMEOUT)
        if came is None:
            raise Unreachable(unheard(self._wire.address))
        answer, _body = came
        if isinstance(answer, (Denied, Bye)):
            raise Unreachable(
                BrokerFailure(
                    part="login",
                    seen=f"{self._wire.address.listener} does not let user {user!r} in: {plain(answer.reason)}",
                    remedy="on the master's machine `master-bridge enroll NAME --as operator --master-dir FOLDER` "
                    "makes an operator's account",
                )
            )
        if not isinstance(answer, Welcome):
            raise Unreachable(strange(self._wire.address, f"a {answer.f} answers a login"))
        self._silence, self._user = answer.silence, user

    @property
    def where(self) -> str:
        """For people."""
        return self._wire.address.listener

    # -- the port -----------------------------------------------------------------------------------------------------

    def hear_fleet(self, heard: HearFleet) -> None:
        self._hear = heard

    def tell(self, key: str, message: Union[Message, bytes], *, mandatory: bool = True) -> bool:
        say, body = self._say("control", key, message)
        answer, _ = self._ask(say, Answer, body)
        return answer.outcome == "taken" or not mandatory

    def _say(self, to: str, key: str, message: Union[Message, bytes]) -> tuple[Say, bytes]:
        """What is told to agents is signed where a key was given."""
        headers: Mapping[str, Any]
        if isinstance(message, Message):
            wire = encode(message)
            kind, content, body, headers = wire.type, wire.content_type, wire.body, wire.headers
        else:
            kind, content, body, headers = "", "", message, {}
        if self._sign is not None and to == "control":
            headers = {**headers, **self._sign(topology.CONTROL, key, body, headers)}
        carried = Carried(
            type=kind, content_type=content, headers={name: str(value) for name, value in headers.items()}
        )
        fields = {"number": self._number(), "to": to, "key": key, "message": carried}
        return Say.model_validate(fields), body

    @property
    def user(self) -> str:
        return self._user

    def receive(self, master: str, heard: HearReply, came_back: CameBack) -> None:
        self._master, self._heard_reply, self._came_back = master, heard, came_back
        answer, _ = self._ask(Receive(number=self._number(), master=master), Answer)
        if answer.outcome != "taken":
            raise NotPermitted(f"the master lets nobody receive what agents answer to {master}")

    def stop_receiving(self) -> None:
        """The master forgets it with this connection."""

    def hint(self, key: str, message: AnyMessage) -> None:
        say, body = self._say("control", key, message)
        self._hints[say.number] = message, key
        self._send(say, body)

    def mark(self, message: Message) -> None:
        say, body = self._say("claims", self._master, message)
        self._send(say, body)

    def queue(self, name: str) -> QueueFigures | None:
        return next(iter(self._counted((name,))), None)

    def all_queues(self) -> list[QueueFigures]:
        return sorted(self._counted(()), key=lambda figures: figures.name)

    def _counted(self, queues: tuple[str, ...]) -> list[QueueFigures]:
        counted, _ = self._ask(CountQueues(number=self._number(), queues=queues), Counted)
        return [
            QueueFigures(name=each.queue, ready=each.ready, consumers=each.consumers, held=each.held)
            for each in counted.counts
        ]

    def walk_dead(self, judge: Callable[[DeadMessage], Verdict]) -> list[DeadMessage]:
        messages: list[DeadMessage] = []
        place = 0
        while True:
            found, body = self._ask(NextDead(number=self._number(), after=place), OfDead)
            if found.message is None:
                return messages
            place = found.place
            message = read(found.key, _properties(found), body)
            verdict = judge(message)
            if verdict != "keep":
                self._settle(place, message, verdict)
            messages.append(message)

    def _settle(self, place: int, message: DeadMessage, verdict: Verdict) -> None:
        settle = SettleDead(number=self._number(), place=place, how="drop")
        if verdict == "requeue":
            _exchange, queue = message.destination()
            headers_of_again(message)  # raises for what the office would not send again
            more = {"how": "again", "queue": queue, "priority": message.priority}
            settle = SettleDead.model_validate(settle.model_dump() | more)
        answer, _ = self._ask(settle, Answer)
        if answer.outcome != "taken" and verdict == "requeue":
            raise OperatingError(f"{message.id}: no queue of this master takes it; it stays where it is")

    def wait(self, seconds: float) -> None:
        now = time.monotonic()
        if now - self._waited > IDLE:
            self._heard = now
        deadline = now + seconds
        while True:
            came = self._next(max(0.0, deadline - time.monotonic()))
            if came is not None:
                self._came(*came)
            self._waited = time.monotonic()
            if self._waited >= deadline:
                break
        self._beat()

    def work(self, seconds: float) -> None:
        now = time.monotonic()
        if now - self._waited > IDLE:
            self._heard = now
        for _ in range(FRAMES_AT_ONCE):
            came = self._next(seconds)
            if came is None:
                break
            self._came(*came)
            seconds = 0.0
        self._waited = time.monotonic()
        self._beat()

    def close(self) -> None:
        """Said goodbye where that can be."""
        with suppress(Unreachable):
            self._wire.send(pack(Bye(reason="the command has ended")))
        self._wire.close()

    # -- frames -------------------------------------------------------------------------------------------------------

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _ask(self, frame: Any, kind: type[Answered], body: bytes = b"") -> tuple[Answered, bytes]:
        """The answer to this frame; what else comes meanwhile is read, too."""
        self._send(frame, body)
        deadline = self._sent + TIMEOUT
        while (left := deadline - time.monotonic()) > 0:
            came = self._next(left)
            if came is None:
                break
            answer, data = came
            if isinstance(answer, kind) and answer.number == frame.number:
                return answer, data
            self._came(answer, data)
        raise Unreachable(unheard(self._wire.address))

    def _send(self, frame: Any, body: bytes = b"") -> None:
        try:
            packed = pack(frame, body)
        except NotAFrame as error:
            raise OperatingError(f"this is too much for one message: {error}") from None
        self._wire.send(packed)
        self._sent = time.monotonic()

    def _next(self, seconds: float) -> tuple[Frame, bytes] | None:
        packed = self._wire.receive(seconds)
        if packed is None:
            return None
        self._heard = time.monotonic()
        try:
            return unpack(packed), packed.body
        except NotAFrame as error:
            raise Unreachable(strange(self._wire.address, str(error))) from None

    def _came(self, frame: Frame, body: bytes) -> None:
        if isinstance(frame, Bye):
            reason = plain(frame.reason)
            seen = f"{self._wire.address.listener} ended the connection: {reason}"
            raise Unreachable(BrokerFailure(part="connection", seen=seen, remedy="call this again"))
        if isinstance(frame, Told) and frame.exchange == topology.FLEET and self._hear is not None:
            envelope = Envelope(exchange=frame.exchange, routing_key=frame.key, user_id=frame.user, dead_lettered=False)
            self._hear(envelope, body, frame.message.headers)
        elif isinstance(frame, AgentReply) and self._heard_reply is not None:
            self._heard_reply(self._delivered(frame, body))
        elif isinstance(frame, Answer):
            message, key = self._hints.pop(frame.number, (None, ""))
            if message is not None and frame.outcome == "returned" and self._came_back is not None:
                self._came_back(message, key)

    def _delivered(self, reply: AgentReply, body: bytes) -> Delivered:
        """As over RabbitMQ; the master has verified who said it."""
        key = topology.claims_key if reply.to == "claims" else topology.events_key
        envelope = Envelope(
            exchange=topology.REPLIES,
            routing_key=key(reply.user, self._master),
            user_id=reply.user,
            dead_lettered=False,
        )
        return Delivered(
            body=body,
            headers=dict(reply.message.headers),
            envelope=envelope,
            queue=f"{reply.to}.{self._master}",
            ack=lambda: self._send(Received(delivery=reply.delivery)),
        )

    def _beat(self) -> None:
        now = time.monotonic()
        if now - self._heard > self._silence:
            raise Unreachable(unheard(self._wire.address))
        if now - self._sent > self._silence / 3:
            self._wire.send(pack(Beat()))
            self._sent = now


def _properties(found: OfDead) -> SimpleNamespace:
    """What RabbitMQ would say of it; all headers are text in a frame."""
    assert found.message is not None
    headers: dict[str, Any] = dict(found.message.headers)
    priority = headers.get(topology.DEAD_PRIORITY_HEADER, "")
    if priority.isascii() and priority.isdigit() and len(priority) < 4:
        headers[topology.DEAD_PRIORITY_HEADER] = int(priority)
    return SimpleNamespace(headers=headers, user_id=found.user, timestamp=None, type=found.message.type)


@contextmanager
def connect_to_office(
    url: str | None, folder: Path | None, tls: TLSSettings | None = None, *, sign: Sign | None = None
) -> Iterator[OfficeOperatorsLink]:
    """An `OfficeOperatorsLink` for the time of a `with`, by URL or through the master's folder.

    Raises `OperatingError` that says why it cannot be had.
    """
    if folder is not None:
        wire, user, token = open_own(folder_of(folder)), OWN_OPERATOR.user, None
    else:
        try:
            address = parse_office_url(url or "")
            if tls not in (None, TLSSettings()) and not address.secure:
                raise BadSettings(PLAIN_WITH_TLS)
            wire, user, token = open_at(address, tls or TLSSettings()), address.user, address.token
        except (BadURL, BadSettings) as error:
            raise OperatingError(f"url: {error}" if isinstance(error, BadURL) else str(error)) from None
    link = OfficeOperatorsLink(wire, sign)
    try:
        link.log_in(user, token)
        yield link
    finally:
        link.close()
