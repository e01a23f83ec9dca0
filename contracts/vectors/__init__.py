"""Test vectors: messages and what AMQP carries of them, for readers and writers in any language.

`messages.json`: a list of {name, message, data, wire: {type, content_type, headers, body}}; `data` and `body` are
base64, `message` is the JSON without bulk data. `refused.json`: a list of {name, why, wire}, which no reader may
accept; `why` is "json" (no JSON object with a type), "version", "schema" or "size". `digests.json`: commands and
their digests. `signatures.json`: signatures and their queues. `seals.json`: keys, what is made of them, and sealed
messages (rule 24 of docs/protocol.md). Generated: `python -m contracts.vectors`.

Not here: schemas, which `contracts.schema` writes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def good() -> list[dict[str, Any]]:
    """Messages that every reader must read as they stand."""
    return list(_load("messages.json"))


def bad() -> list[dict[str, Any]]:
    """What every reader must refuse."""
    return list(_load("refused.json"))


def digests() -> list[dict[str, Any]]:
    """{name, args, content, digest} of commands."""
    return list(_load("digests.json"))


def signatures() -> list[dict[str, Any]]:
    """{signature, queue}: how a queue's name is spelled."""
    return list(_load("signatures.json"))


def seals() -> dict[str, Any]:
    """{agent: {private, public}, ephemeral, parties, info, seal, messages: [{name, from, message, sealed}]}.

    The keys are hexadecimal digits, `info` is base64, `message` and `sealed` are as in `messages.json`.
    """
    found: dict[str, Any] = _load("seals.json")
    return found


def _load(name: str) -> Any:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))
