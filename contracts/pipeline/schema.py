"""The JSON Schema of a pipeline's lines, generated from the models: `python -m contracts.pipeline.schema` writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from contracts.pipeline.lines import VERSION, AnyLine

FILE = Path(__file__).parent / "pipeline.schema.json"


def schema() -> dict[str, Any]:
    """Of one line, whatever its type."""
    adapter: TypeAdapter[Any] = TypeAdapter(AnyLine)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"buildbot-amqp/pipeline/v{VERSION}.json",
        "title": "One line of a pipeline",
        **adapter.json_schema(),
    }


def text() -> str:
    return json.dumps(schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
