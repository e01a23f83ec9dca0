"""A message that came in a frame, as `port.Arrived` has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from contracts import topology
from contracts.frames.frames import Offered, Told


@dataclass(kw_only=True)
class FrameMessage:
    """What RabbitMQ would say of it, the frame has said."""

    body: bytes
    headers: dict[str, Any]
    exchange: str
    routing_key: str
    user_id: str
    type: str
    content_type: str
    redelivered: bool = False
    priority: int | None = None

    @classmethod
    def told(cls, frame: Told, body: bytes) -> FrameMessage:
        return cls(
            body=body,
            headers=dict(frame.message.headers),
            exchange=frame.exchange,
            routing_key=frame.key,
            user_id=frame.user,
            type=frame.message.type,
            content_type=frame.message.content_type,
        )

    @classmethod
    def offered(cls, frame: Offered, body: bytes) -> FrameMessage:
        headers: dict[str, Any] = dict(frame.message.headers)
        if frame.parkings:  # as RabbitMQ tells it: each time it was rejected, and had then waited long enough
            headers["x-death"] = [{"count": frame.parkings, "reason": reason} for reason in ("expired", "rejected")]
        return cls(
            body=body,
            headers=headers,
            exchange=topology.OFFERS,
            routing_key=frame.queue,
            user_id=frame.user,
            type=frame.message.type,
            content_type=frame.message.content_type,
            redelivered=frame.redelivered,
        )
