"""What operators' commands ask of a transport: the contract that RabbitMQ's and a master's own keep.

`connection` is the one, `office` the other. Blocking, short-lived. What goes wrong is an `OperatingError` with the
remedy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Union

from contracts.messages import AnyMessage, Message
from contracts.trust.envelope import Envelope
from master_bridge.link.carried import Delivered
from master_bridge.operating.deadletters import DeadMessage, Verdict

#: Seconds for a connection to be made, and for the other end to answer.
TIMEOUT = 10

#: Adds headers to what is published: exchange, routing key, body, headers -> headers.
Sign = Callable[[str, str, bytes, Mapping[str, Any]], Mapping[str, Any]]
#: Told of each message that agents and masters tell everybody: by which way it came, body, headers.
HearFleet = Callable[[Envelope, bytes, Mapping[str, Any]], None]
#: Told of each message that agents say to this program, to be acknowledged.
HearReply = Callable[[Delivered], None]
#: Told of what `hint` could not bring: nobody was at that address.
CameBack = Callable[[AnyMessage, str], None]


@dataclass(frozen=True, kw_only=True)
class QueueFigures:
    """`ready`: messages that nobody holds; `held`: delivered and unacknowledged, None where the broker does not say."""

    name: str
    ready: int
    consumers: int
    held: int | None = None
    type: str | None = None


class OperatorsLink(Protocol):
    """One connection in an operator's name, which can claim nothing and speaks for no agent."""

    def hear_fleet(self, heard: HearFleet) -> None:
        """From now on, within `wait`. Raises `NotPermitted`."""

    def tell(self, key: str, message: Union[Message, bytes], *, mandatory: bool = True) -> bool:
        """To the agent at this address, or to all (`topology.TELL`). False: nobody is there. Raises `NotPermitted`."""

    @property
    def user(self) -> str:
        """The account, as it logged in."""

    def receive(self, master: str, heard: HearReply, came_back: CameBack) -> None:
        """From now on, within `work`, what agents say to `master`, a name of this program's own (rule 26).

        Raises `NotPermitted`.
        """

    def stop_receiving(self) -> None:
        """Nothing more is expected, now or by a later connection."""

    def hint(self, key: str, message: AnyMessage) -> None:
        """As `tell`, without waiting for an answer: for what is said again anyway where it gets lost."""

    def mark(self, message: Message) -> None:
        """To this program itself, behind all claims that are under way to it (rule 10)."""

    def work(self, seconds: float) -> None:
        """As `wait`, but no longer than until something has come."""

    def queue(self, name: str) -> QueueFigures | None:
        """None: there is no such queue."""

    def all_queues(self) -> list[QueueFigures] | None:
        """By name; None: this transport tells of those only that it is asked for."""

    def walk_dead(self, judge: Callable[[DeadMessage], Verdict]) -> list[DeadMessage]:
        """All dead letters, oldest first, and with each is done what `judge` says. What is kept stays in order.

        One that is sent again is dropped only once it is safe elsewhere. Raises `OperatingError` for one that has no
        way back; nothing is lost then.
        """

    def wait(self, seconds: float) -> None:
        """Let the connection work; who hears the fleet is called."""
