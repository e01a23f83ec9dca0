"""Test vectors: messages and what AMQP carries of them, for readers and writers in any language.

`messages.json`: a list of {name, message, data, wire: {type, content_type, headers, body}}; `data` and `body` are
base64, `message` is the JSON without bulk data. `refused.json`: a list of {name, why, wire}, which no reader may
accept; `why` is "json" (no JSON object with a type), "version", "schema" or "size". `digests.json`: commands and
their digests. `signatures.json`: signatures and their queues. Generated: `python -m contracts.vectors`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def good() -> list[dict[str, Any]]:
    """Messages that every reader must read as they stand."""
    return _load("messages.json")


def bad() -> list[dict[str, Any]]:
    """What every reader must refuse."""
    return _load("refused.json")


def digests() -> list[dict[str, Any]]:
    """{name, args, content, digest} of commands."""
    return _load("digests.json")


def signatures() -> list[dict[str, Any]]:
    """{signature, queue}: how a queue's name is spelled."""
    return _load("signatures.json")


def _load(name: str) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return loaded
