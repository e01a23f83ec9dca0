"""Frames to and from two pieces of bytes: a JSON header and raw bytes. How they travel is the wire's."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from contracts.errors import ContractError
from contracts.frames.frames import CARRYING, Frame, Hello
from contracts.timing import MESSAGE_MAX

#: Most bytes of a header: the queues of one `ConsumeFrom`, each name at its longest, fit.
FRAME_HEADER_MAX = 640 * 1024
#: Most bytes of a header, and of what follows it, before the login.
GREETING_MAX = 4096
#: Most raw bytes of a frame: a message's body.
FRAME_BODY_MAX = MESSAGE_MAX
#: … and of both together.
FRAME_MAX = FRAME_HEADER_MAX + FRAME_BODY_MAX

_ANY: TypeAdapter[Frame] = TypeAdapter(Frame)


class NotAFrame(ContractError):
    """What came over a wire is no frame; the message says what is wrong, without the value."""


@dataclass(frozen=True)
class Packed:
    """A frame as each wire carries it."""

    header: bytes
    body: bytes = b""


def pack(frame: Frame, body: bytes = b"") -> Packed:
    """Raises `NotAFrame` for what `unpack` refuses at the other end."""
    if isinstance(frame, Hello) and frame.token is not None:  # the model shows it to nobody, a JSON dump included
        fields = frame.model_dump(mode="json") | {"token": frame.token.get_secret_value()}
        header = json.dumps(fields).encode()
    else:
        header = frame.model_dump_json(exclude_none=True).encode()
    _check(len(header), len(body), FRAME_HEADER_MAX, FRAME_BODY_MAX)
    if body and not isinstance(frame, CARRYING):
        raise NotAFrame(f"a {frame.f} carries no bytes")
    return Packed(header, body)


def unpack(packed: Packed) -> Frame:
    """The frame in the header; its raw bytes are `packed.body`. Raises `NotAFrame`."""
    _check(len(packed.header), len(packed.body), FRAME_HEADER_MAX, FRAME_BODY_MAX)
    try:
        frame = _ANY.validate_json(packed.header)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "frame"
        raise NotAFrame(f"{where}: {first['msg']}") from None
    if packed.body and not isinstance(frame, CARRYING):
        raise NotAFrame(f"a {frame.f} carries no bytes")
    return frame


def _check(header: int, body: int, header_max: int, body_max: int) -> None:
    if header > header_max:
        raise NotAFrame(f"a header of {header} bytes, more than the {header_max} allowed")
    if body > body_max:
        raise NotAFrame(f"{body} raw bytes, more than the {body_max} allowed")
