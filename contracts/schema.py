"""JSON Schemas of all messages, and the AsyncAPI 3 document, generated from the models.

`python -m contracts.schema` writes them to `contracts/schemas/`; a test fails when they are stale.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from contracts import topology
from contracts.codec import DATA_TYPE, HEADER, JSON_TYPE
from contracts.messages import VERSION, AnyMessage, Message
from contracts.timing import CLAIM_TIMEOUT, STATUS_INTERVAL

FOLDER = Path(__file__).parent / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

#: Channel (AMQP exchange) -> its routing key, who sends, and the messages it carries.
CHANNELS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    topology.OFFERS: ("{queue}", "bridge", ("offer",)),
    topology.CONTROL: (
        "{address}",
        "bridge",
        (
            *("grant", "refuse", "later", "hold", "start", "interrupt", "ping", "stored", "replay", "release"),
            *("data", "sealed", "rollcall", "alive", "steer", "move"),
        ),
    ),
    topology.REPLIES: (
        "{user}.{master}.{queue}",
        "agent",
        ("claim", "resume", "accept", "gone", "event", "pull", "sealed", "marker"),
    ),
    topology.FLEET: ("{what}", "both", ("status", "catalogue", "work")),
}
#: What a program that is not ours must know of each channel to take part.
_CHANNEL_NOTES = {
    topology.OFFERS: "An agent declares nothing here: it consumes the `cap.*` queues that exist and that it qualifies "
    "for, with basic.qos prefetch 1 and manual acknowledgement, and holds an offer unacknowledged for as long as its "
    "session lasts. To park an offer, reject it without requeue: its queue dead-letters it.",
    topology.CONTROL: "Each connection of an agent declares an exclusive queue named like its address, bound with its "
    "address and with `all` (roll calls, `alive`). Deliveries may be acknowledged at once, or consumed with no-ack.",
    topology.REPLIES: "Published with publisher confirms. `claims` takes claim, resume, accept and gone, persistent; "
    "`events` takes event, pull and sealed, which need not be, so that no log delays a claim. The first word is the "
    "broker user, as in the agent's address: topic permissions pin an account to its own. A claim has the AMQP "
    f"property `expiration` (at most {CLAIM_TIMEOUT * 1000:.0f} ms); nothing else expires.",
    topology.FLEET: "Transient, for whoever listens. An agent may publish its `status` every "
    f"{STATUS_INTERVAL:g} s under `status` (rule 27: less often where all masters say so in `alive`); masters publish "
    "what they have queues for under `catalogue`.",
}
_PARAMETER_NOTES = {
    "queue": "`claims` or `events`",
    "address": "`agent.<user>.<instance>.<nonce>`, or `all` for every agent",
    "user": "the broker user that publishes; what is no letter, digit, `-` or `_` is written `:xx`, byte by byte",
    "master": "the master's name",
    "what": "`status`, `catalogue` or `work`",
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
    """The AsyncAPI 3 document: channels are exchanges, operations are seen from the agent's side."""
    messages: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for name, model in message_types():
        document = schema(name, model)
        for part, definition in document.pop("$defs", {}).items():
            schemas[part] = _local(definition)
        schemas[name] = _local({key: value for key, value in document.items() if key not in ("$schema", "$id")})
        messages[name] = _message(name, model)
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for exchange, (key, sender, carried) in CHANNELS.items():
        channel = exchange.removeprefix("bb.")
        parameters = [word.split("}")[0] for word in key.split("{")[1:]]
        notes = dict(_PARAMETER_NOTES)
        if exchange == topology.OFFERS:
            notes["queue"] = '`cap.<signature>`, spelled as docs/protocol.md says ("Names of queues")'
        channels[channel] = {
            "address": key,
            "title": exchange,
            "description": f"Exchange `{exchange}`; the address is the routing key. {_CHANNEL_NOTES[exchange]}",
            "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in carried},
            "parameters": {word: {"description": notes[word]} for word in parameters},
            "bindings": {"amqp": {"is": "routingKey", "exchange": _exchange(exchange), "bindingVersion": "0.3.0"}},
        }
        for action in {"bridge": ("receive",), "agent": ("send",), "both": ("send", "receive")}[sender]:
            operations[f"{action}-{channel}"] = {
                "action": action,
                "channel": {"$ref": f"#/channels/{channel}"},
                "summary": _OPERATION_NOTES[f"{action}-{channel}"],
                "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in carried],
                "bindings": {"amqp": _operation_binding(exchange, action)},
            }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Buildbot work, brokered by RabbitMQ",
            "version": f"{VERSION}.0.0",
            "description": "The agent's side of the protocol. docs/protocol.md explains it.",
            "license": {"name": "GPL-2.0-only"},
        },
        "servers": {
            "broker": {
                "host": "{host}",
                "pathname": "/{vhost}",
                "protocol": "amqp",
                "protocolVersion": "0-9-1",
                "description": "RabbitMQ 3.10 or later; amqps with TLS. An agent has one connection: under a resource "
                "alarm a broker does not read from it, once it has published, until the alarm is over.",
                "variables": {
                    "host": {"description": "host and port of the broker", "default": "localhost:5672"},
                    "vhost": {"description": "the virtual host, percent-encoded", "default": "%2F"},
                },
            }
        },
        "defaultContentType": JSON_TYPE,
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas},
    }


def documents() -> dict[str, str]:
    """File name -> text of everything that is generated."""
    files = {f"{name}.json": _text(schema(name, model)) for name, model in message_types()}
    files["asyncapi.json"] = _text(asyncapi())
    return files


def _message(name: str, model: type[Message]) -> dict[str, Any]:
    """A message's place in the document: where its JSON is, and which AMQP properties it has."""
    text = " ".join((model.__doc__ or name).strip().split("\n\n")[0].split())
    message: dict[str, Any] = {
        "name": name,
        "title": model.__name__,
        "summary": text if model.__doc__ else f"See docs/protocol.md, `{name}`.",
        "contentType": JSON_TYPE,
        "payload": {"$ref": f"#/components/schemas/{name}"},
        "bindings": {"amqp": {"messageType": name, "bindingVersion": "0.3.0"}},
    }
    if model.has_data:
        message["description"] = (
            f"With bulk data: the bytes are the body (content type {DATA_TYPE}), and the JSON that the payload "
            f"describes stands in the header `{HEADER}`. Without: the JSON is the body, and there is no such header."
        )
        message["headers"] = {
            "type": "object",
            "properties": {
                HEADER: {
                    "type": "string",
                    "contentMediaType": JSON_TYPE,
                    "description": "the JSON of this message, when the body is bulk data",
                }
            },
        }
    return message


_OPERATION_NOTES = {
    "receive-offers": "Take one offer at a time.",
    "receive-control": "Obey what the bridges order.",
    "send-replies": "Claim, resume, accept; publish events.",
    "send-fleet": "Tell what this agent is and does (optional).",
    "receive-fleet": "Learn which queues there are (optional).",
}


def _operation_binding(exchange: str, action: str) -> dict[str, Any]:
    binding: dict[str, Any] = {"bindingVersion": "0.3.0"}
    if action == "send":
        binding["deliveryMode"] = 1 if exchange == topology.FLEET else 2
    else:
        binding["ack"] = exchange == topology.OFFERS
    return binding


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
    """Writes all schemas anew, into the folder beside this module."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in documents().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
