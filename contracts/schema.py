"""JSON Schemas of all messages, and the AsyncAPI 3 document, generated from the models.

`python -m contracts.schema` writes them to `contracts/schemas/`; a test fails when they are stale.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from contracts import topology
from contracts.messages import VERSION, AnyMessage, Message

FOLDER = Path(__file__).parent / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

#: Channel (AMQP exchange) -> its routing key, who sends, and the messages it carries.
CHANNELS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    topology.OFFERS: ("cap.{signature}", "bridge", ("offer",)),
    topology.CONTROL: (
        "agent.{user}.{instance}.{nonce}",
        "bridge",
        (
            *("grant", "refuse", "later", "hold", "start", "interrupt", "ping", "stored", "replay", "release"),
            *("data", "rollcall", "alive", "steer"),
        ),
    ),
    topology.REPLIES: (
        "{user}.{master}.{queue}",
        "agent",
        ("claim", "resume", "accept", "gone", "event", "pull", "marker"),
    ),
    topology.FLEET: ("{what}", "both", ("status", "catalogue")),
}


def message_types() -> Iterator[tuple[str, type[Message]]]:
    """Each message's `t` with its model, in the order of `contracts.messages`."""
    union = get_args(AnyMessage)[0]
    for model in get_args(union):
        yield model.model_fields["t"].default, model


def schema(name: str, model: type[Message]) -> dict[str, Any]:
    """The JSON Schema of one message: of its JSON body, or of its header `bb` where it carries bulk data."""
    document = model.model_json_schema(mode="validation")
    document.get("properties", {}).pop("data", None)
    document["required"] = sorted({"t", "v", *document.get("required", [])})
    return {"$schema": DIALECT, "$id": f"buildbot-amqp/v{VERSION}/{name}.json", **document}


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3 document: channels are exchanges, operations are seen from the worker's side."""
    messages: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for name, model in message_types():
        document = schema(name, model)
        for part, definition in document.pop("$defs", {}).items():
            schemas[part] = _local(definition)
        schemas[name] = _local({key: value for key, value in document.items() if key not in ("$schema", "$id")})
        messages[name] = {
            "name": name,
            "contentType": "application/octet-stream" if model.has_data else "application/json",
            "summary": (model.__doc__ or name).strip().splitlines()[0],
            "payload": {"$ref": f"#/components/schemas/{name}"},
        }
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for exchange, (key, sender, carried) in CHANNELS.items():
        channel = exchange.removeprefix("bb.")
        parameters = [word.split("}")[0] for word in key.split("{")[1:]]
        channels[channel] = {
            "address": key,
            "description": f"Exchange `{exchange}`; the address is the routing key.",
            "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in carried},
            "parameters": {word: {"description": f"the {word}"} for word in parameters},
            "bindings": {"amqp": {"is": "routingKey", "exchange": _exchange(exchange), "bindingVersion": "0.3.0"}},
        }
        for action in {"bridge": ("receive",), "agent": ("send",), "both": ("send", "receive")}[sender]:
            operations[f"{action}-{channel}"] = {
                "action": action,
                "channel": {"$ref": f"#/channels/{channel}"},
                "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in carried],
            }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Buildbot work, brokered by RabbitMQ",
            "version": f"{VERSION}.0.0",
            "description": "The worker's side of the protocol. docs/protocol.md explains it.",
            "license": {"name": "GPL-2.0-only"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas},
    }


def documents() -> dict[str, str]:
    """File name -> text of everything that is generated."""
    files = {f"{name}.json": _text(schema(name, model)) for name, model in message_types()}
    files["asyncapi.json"] = _text(asyncapi())
    return files


def _exchange(name: str) -> dict[str, Any]:
    kind = next(exchange.type.value for exchange in topology.EXCHANGES if exchange.name == name)
    return {"name": name, "type": kind, "durable": True, "autoDelete": False}


def _local(value: Any) -> Any:
    """`value` with references to `#/$defs/…` turned to `#/components/schemas/…`."""
    if isinstance(value, dict):
        return {key: _local(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_local(part) for part in value]
    if isinstance(value, str) and value.startswith("#/$defs/"):
        return value.replace("#/$defs/", "#/components/schemas/")
    return value


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, text in documents().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
