"""Messages to and from what AMQP carries: a type, headers and a body.

A message without bulk data is JSON in the body. A message with bulk data has its JSON in the header `bb` and the
bytes, untouched, as the body. Pure; both sides' links and the in-memory broker use it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from contracts.errors import BadMessage, TooLarge, UnknownVersion
from contracts.messages import AnyMessage, Data, Event, Greeting, Message, Sealed
from contracts.protocol_version import OURS, Versions
from contracts.readable import has_lone, is_deeper, readable_values
from contracts.timing import HEADER_MAX, JSON_DEPTH_MAX, MESSAGE_MAX

JSON_TYPE = "application/json"
DATA_TYPE = "application/octet-stream"
#: Header with the JSON of a message whose body is bulk data.
HEADER = "bb"

#: How JSON writes characters that UTF-8 may not have.
_SURROGATES = (b"\\ud", b"\\uD")

_ANY: TypeAdapter[AnyMessage] = TypeAdapter(AnyMessage)


@dataclass(frozen=True, kw_only=True)
class Wire:
    """A message as AMQP carries it. `type` is the AMQP `type` property and equals the message's `t`."""

    type: str
    content_type: str
    body: bytes
    headers: Mapping[str, Any] = field(default_factory=dict)


def encode(message: Message, version: int | None = None) -> Wire:
    """`version`: what was agreed with the peer; a greeting says by itself which versions it is right in.

    Text that is no UTF-8, as of a file's name, has U+FFFD where it is none. What must not be changed so, a command's
    arguments, is refused by its writer. Raises `TooLarge` for what `decode` refuses at the other end.
    """
    if version is not None and version != message.v and not isinstance(message, Greeting):
        message = message.model_copy(update={"v": version})
    text = json_of(message)
    body = text.encode()
    kind: str = message.t  # type: ignore[attr-defined]  # every concrete message has it; the base has none
    bulk = isinstance(message, (Event, Data, Sealed)) and message.data
    limit = HEADER_MAX if bulk else MESSAGE_MAX
    if len(body) > limit:
        raise TooLarge(f"{kind}: {len(body)} bytes of JSON, more than the {limit} that may be sent")
    if isinstance(message, (Event, Data, Sealed)) and message.data:
        return Wire(type=kind, content_type=DATA_TYPE, body=message.data, headers={HEADER: text})
    return Wire(type=kind, content_type=JSON_TYPE, body=body)


def json_of(message: BaseModel) -> str:
    """A message or a part of one as JSON that UTF-8 can carry."""
    try:
        return message.model_dump_json()
    except PydanticSerializationError:
        return json.dumps(readable_values(message.model_dump()), ensure_ascii=False, separators=(",", ":"))


def decode(body: bytes, headers: Mapping[str, Any] | None = None) -> AnyMessage:
    """The message in `body` and `headers`.

    Raises `UnknownVersion` when we speak none of its versions, `BadMessage` for anything else that is none of the
    protocol.
    Both say what is wrong in words that can stand in a header of `bb.dead`.
    """
    header = (headers or {}).get(HEADER)
    if header is None:
        return message_of(fields_of(body))
    text = header.encode() if isinstance(header, str) else header
    if not isinstance(text, (bytes, bytearray)):
        raise BadMessage(f"header {HEADER!r} is {type(header).__name__}, not text")
    return message_of(_fields(text, HEADER_MAX), body)


def fields_of(body: bytes) -> dict[str, Any]:
    """The JSON object of a message without bulk data. Raises as `decode`, of which it is the first half."""
    return _fields(body, MESSAGE_MAX)


def _fields(text: bytes | bytearray, limit: int) -> dict[str, Any]:
    """The JSON object in `text`, of a version that we speak."""
    if len(text) > limit:
        raise BadMessage(f"{len(text)} bytes of JSON, more than the {limit} allowed")
    try:
        fields: Any = json.loads(str(text, "utf-8"))  # of bytes it would take other encodings, too, and half characters
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise BadMessage(f"JSON {type(fields).__name__} where an object was expected")
    if text.count(b"[") + text.count(b"{") > JSON_DEPTH_MAX and is_deeper(fields, JSON_DEPTH_MAX):
        raise BadMessage(f"JSON with more than {JSON_DEPTH_MAX} objects and arrays in one another")
    if any(escape in text for escape in _SURROGATES) and has_lone(fields):
        raise BadMessage("text with half of a surrogate pair, which UTF-8 has not")
    try:
        theirs = Versions.of_message(fields)
    except ValueError as error:
        raise BadMessage(f"v: {error}") from None
    if OURS.common(theirs) is None:
        problem = f"protocol version {theirs}; this program speaks {OURS}"
        raise UnknownVersion(problem, fields=fields, versions=str(theirs))
    return fields


def message_of(fields: dict[str, Any], data: bytes = b"") -> AnyMessage:
    """The message of these fields, of which any may be a part of a message already. Raises `BadMessage`."""
    if data:
        fields["data"] = data
    else:
        fields.pop("data", None)  # bulk data never travels inside the JSON
    try:
        message = _ANY.validate_python(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "message"
        raise BadMessage(f"{where}: {first['msg']}") from None
    if data and not message.has_data:
        raise BadMessage(f"{message.t}: carries bulk data, which its type has not")
    return message
