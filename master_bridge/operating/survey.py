"""Listens to the fleet: agents' statuses, masters' columns and what their requests do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from pika import exceptions as amqp

from contracts import topology
from contracts.codec import decode
from contracts.errors import BadMessage, UnknownVersion
from contracts.messages import Catalogue, Status, Work
from contracts.rabbitmq.arguments import Kind, arguments
from contracts.timing import STATUS_INTERVAL
from master_bridge.operating.connection import Broker, refusal
from master_bridge.operating.errors import NotPermitted

#: Agents that are asked answer within this many seconds, over a slow line too.
ANSWERS_WITHIN = 1.0
#: Masters tell what their requests do every 2 s, agents that cannot be asked every 5.
MASTERS_WITHIN = 2.5
#: Seconds after which an agent or a master that says nothing any more is not shown.
FORGET_AFTER = 3 * STATUS_INTERVAL
#: Characters of the name of somebody whose messages cannot be checked.
NAME_SHOWN = 128


class Survey:
    """What is heard from `open` on. Times of hearing are monotonic seconds."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._statuses: dict[str, tuple[float, Status]] = {}
        self._catalogues: dict[str, tuple[float, Catalogue]] = {}
        self._works: dict[str, tuple[float, Work]] = {}
        #: agent or master -> its status cannot be read: it speaks another version of the protocol
        self.foreign: dict[str, str] = {}
        self.may_ask = True

    def open(self) -> Survey:
        """Listen. Raises `NotPermitted` for an account that may not read `bb.fleet`."""
        channel = self._broker.new_channel()
        try:
            queue = channel.queue_declare(
                "",
                exclusive=True,
                auto_delete=True,
                arguments=arguments(Kind.FLEET, version=self._broker.product.version),
            ).method.queue
            for key in (topology.STATUS_KEY, topology.CATALOGUE_KEY, topology.WORK_KEY):
                channel.queue_bind(queue, topology.FLEET, f"{key}.#")
            channel.basic_consume(queue, self._heard, auto_ack=True)
        except amqp.ChannelClosedByBroker as error:
            raise refusal(error, "listen to bb.fleet") from None
        return self

    def ask(self) -> None:
        """Ask all agents for their status; without the right to, they tell it by themselves within 5 s."""
        if self.may_ask:
            try:
                self._broker.publish(topology.CONTROL, topology.TELL, b"", mandatory=False)
            except NotPermitted:
                self.may_ask = False

    def listen(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """For at most so long, or until it is enough; True when it was."""
        deadline = time.monotonic() + seconds
        while not until():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._broker.wait(min(left, 0.1))
        return True

    def gather(self, *, masters: bool = False) -> Survey:
        """Ask and listen until all agents have had the time to answer; with `masters`, all masters too."""
        self.ask()
        seconds = ANSWERS_WITHIN if self.may_ask else STATUS_INTERVAL + ANSWERS_WITHIN
        self.listen(max(seconds, MASTERS_WITHIN) if masters else seconds)
        return self

    @property
    def agents(self) -> list[Status]:
        """By name."""
        return sorted(_fresh(self._statuses), key=lambda status: (status.agent, status.instance))

    @property
    def works(self) -> list[Work]:
        return sorted(_fresh(self._works), key=lambda work: work.master)

    @property
    def masters(self) -> set[str]:
        return {found.master for found in (*_fresh(self._works), *_fresh(self._catalogues))}

    @property
    def signatures(self) -> set[str]:
        """Of all masters' columns and waiting requests."""
        columns = {signature for catalogue in _fresh(self._catalogues) for signature in catalogue.signatures}
        return columns | {view.signature for work in self.works for view in work.requests if view.signature}

    def hear(self, message: Any) -> None:
        now = time.monotonic()
        if isinstance(message, Status):
            if message.state == "leaving":
                self._statuses.pop(message.instance, None)
            else:
                self._statuses[message.instance] = (now, message)
        elif isinstance(message, Catalogue):
            self._catalogues[message.master] = (now, message)
        elif isinstance(message, Work):
            self._works[message.master] = (now, message)

    def _heard(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        try:
            self.hear(decode(body, properties.headers))
        except UnknownVersion as error:
            told = error.fields.get("agent") or error.fields.get("master") or properties.user_id or method.routing_key
            self.foreign[str(told)[:NAME_SHOWN]] = f"{error}: upgrade the older of the two"
        except BadMessage:
            return  # whoever wrote it, it is not of the fleet


def _fresh(heard: dict[str, tuple[float, Any]]) -> Iterable[Any]:
    now = time.monotonic()
    return [message for at, message in heard.values() if now - at <= FORGET_AFTER]
