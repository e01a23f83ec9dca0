"""A proxy that cancels consumers in the broker's name, as RabbitMQ 4.3 does it at a consumer timeout.

It reads the frames (AMQP 0-9-1, section 4.2.3), and so knows every consumer's channel, tag and queue, and where a frame
ends. A cancel goes both ways: the client is told that the broker ended its consumer, the broker that the client did.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.faults.laboratory.proxy import Proxy
from tests.harness.waiting import wait_for

if TYPE_CHECKING:
    from tests.faults.laboratory.proxy import Pair

_GREETING = 8  # "AMQP" and a version, before the first frame
_HEAD = struct.Struct(">BHI")  # type, channel, size
_METHOD = struct.Struct(">HH")
_FRAME_METHOD, _FRAME_END = 1, b"\xce"
_BASIC, _CONSUME, _CANCEL = 60, 20, 30
_NO_WAIT = b"\x01"


@dataclass(frozen=True, kw_only=True)
class Consumer:
    """One that a client started through the proxy; perhaps it is over."""

    pair: Pair
    channel: int
    tag: bytes
    queue: str


class CancellingProxy(Proxy):
    """`cancel` ends the newest consumer of each connection on a queue."""

    def __init__(self, *targets: int) -> None:
        self._consumers: list[Consumer] = []
        #: what of a frame has passed, by connection and sender
        self._streams: dict[tuple[Pair, str], bytearray] = {}
        self._greeted: set[Pair] = set()
        super().__init__(*targets)

    def consumers(self, queue: str) -> list[Consumer]:
        """The newest one of each connection on `queue`."""
        return list({consumer.pair: consumer for consumer in self._consumers if consumer.queue == queue}.values())

    def cancel(self, queue: str) -> None:
        """Cancel the consumers of `queue`."""
        for consumer in self.consumers(queue):
            wait_for(lambda consumer=consumer: self._cancelled(consumer), 10, "the end of a frame", every=0.001)  # type: ignore[misc]
            # not `remove`: perhaps it ended by itself
            self._consumers = [other for other in self._consumers if other is not consumer]

    def _cancelled(self, consumer: Consumer) -> bool:
        payload = _METHOD.pack(_BASIC, _CANCEL) + bytes([len(consumer.tag)]) + consumer.tag + _NO_WAIT
        frame = _HEAD.pack(_FRAME_METHOD, consumer.channel, len(payload)) + payload + _FRAME_END
        done = []

        def between_frames() -> None:
            if not self._streams.get((consumer.pair, "near")) and not self._streams.get((consumer.pair, "far")):
                consumer.pair.inject(frame)
                done.append(True)

        self._do(between_frames)
        return bool(done)

    def passing(self, pair: Pair, end: str, data: bytes) -> None:
        stream = self._streams.setdefault((pair, end), bytearray())
        stream += data
        if end == "near" and pair not in self._greeted:
            if len(stream) < _GREETING:
                return
            del stream[:_GREETING]
            self._greeted.add(pair)
        while len(stream) >= _HEAD.size:
            kind, channel, size = _HEAD.unpack_from(stream)
            if len(stream) < _HEAD.size + size + 1:
                return
            if kind == _FRAME_METHOD and end == "near":
                self._method(pair, channel, bytes(stream[_HEAD.size : _HEAD.size + size]))
            del stream[: _HEAD.size + size + 1]

    def _method(self, pair: Pair, channel: int, payload: bytes) -> None:
        if _METHOD.unpack_from(payload) == (_BASIC, _CONSUME):
            queue, rest = _short(payload[_METHOD.size + 2 :])
            tag, _ = _short(rest)
            self._consumers.append(Consumer(pair=pair, channel=channel, tag=tag, queue=queue.decode()))

    def ended(self, pair: Pair) -> None:
        super().ended(pair)
        self._streams = {(other, end): left for (other, end), left in self._streams.items() if other is not pair}
        self._consumers = [consumer for consumer in self._consumers if consumer.pair is not pair]


def _short(data: bytes) -> tuple[bytes, bytes]:
    """A short string, and what follows it."""
    return data[1 : 1 + data[0]], data[1 + data[0] :]
