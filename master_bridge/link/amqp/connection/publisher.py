"""Publishing with confirms: what was sent and not yet confirmed, what came back, what the broker refused."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pika
from twisted.internet import defer

from master_bridge.link.amqp.connection.channel import Calls
from master_bridge.link.carried import Publication, Sign, wire_of

TRANSIENT = 1
PERSISTENT = 2


class Publisher:
    """Publishes on one channel in confirm mode; both callbacks get the `Publication` as it was handed in.

    on_returned   mandatory, and no queue was bound
    on_refused    the broker said no (basic.nack: a full queue, an internal error)
    """

    def __init__(
        self,
        channel: Any,
        on_returned: Callable[[Publication], None],
        on_refused: Callable[[Publication], None],
        sign: Sign | None = None,
        *,
        user: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._user = user
        self._clock = clock
        self._sign = sign
        self._calls = Calls(channel)
        self._channel = channel
        self._on_returned = on_returned
        self._on_refused = on_refused
        self._next = 0
        self._unconfirmed: dict[int, Publication] = {}
        #: when each of them was sent, seconds of `clock`
        self._sent: dict[int, float] = {}
        self._drained: list[defer.Deferred[None]] = []
        channel.add_on_return_callback(self._returned)

    def start(self) -> defer.Deferred[Any]:
        """Turn confirms on; fires when the broker has done so."""
        return self._calls.call("confirm_delivery", ack_nack_callback=self._confirmed)

    @property
    def is_open(self) -> bool:
        return bool(self._channel.is_open)

    @property
    def unconfirmed(self) -> int:
        """Publications that the broker has not confirmed."""
        return len(self._unconfirmed)

    @property
    def oldest(self) -> float | None:
        """When the oldest publication that is not answered was sent, in seconds of `clock`."""
        return next(iter(self._sent.values()), None)

    def publish(self, publication: Publication) -> None:
        """Send; silently void on a closed channel, like everything else that a lost link takes along.

        So is what no reader would take: whoever makes messages bounds them, and this is for what was forgotten there.
        """
        if not self._channel.is_open:
            return
        wire = wire_of(publication, self._sign)
        if wire is None:
            return
        self._next += 1
        self._unconfirmed[self._next] = publication
        self._sent[self._next] = self._clock()
        self._channel.basic_publish(
            exchange=publication.exchange,
            routing_key=publication.routing_key,
            body=wire.body,
            properties=pika.BasicProperties(
                content_type=wire.content_type or None,
                type=wire.type or None,
                headers=dict(wire.headers) or None,
                delivery_mode=PERSISTENT if publication.persistent else TRANSIENT,
                priority=publication.priority,
                message_id=str(self._next),
                user_id=self._user,  # the broker refuses another's, so it proves the sender (rule 22)
            ),
            mandatory=publication.mandatory,
        )

    def drained(self) -> defer.Deferred[None]:
        """Fires when nothing is unconfirmed."""
        result: defer.Deferred[None] = defer.Deferred()
        if self._unconfirmed and self._channel.is_open:
            self._drained.append(result)
        else:
            result.callback(None)
        return result

    def close(self) -> None:
        """Nothing is published on it any more."""
        self._calls.close()

    def _returned(self, _channel: Any, _method: Any, properties: Any, _body: bytes) -> None:
        # a return comes before its confirm, so the publication is still known by the number that went with it
        publication = self._unconfirmed.get(int(properties.message_id or 0))
        if publication is not None:
            self._on_returned(publication)

    def _confirmed(self, frame: Any) -> None:
        tag = frame.method.delivery_tag
        if frame.method.multiple:
            tags = [known for known in self._unconfirmed if known <= tag]
        else:
            tags = [tag] if tag in self._unconfirmed else []
        refused = frame.method.NAME == "Basic.Nack"
        for known in tags:
            publication = self._unconfirmed.pop(known)
            del self._sent[known]
            if refused:
                self._on_refused(publication)
        if not self._unconfirmed:
            waiting, self._drained = self._drained, []
            for result in waiting:
                result.callback(None)
