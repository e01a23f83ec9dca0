"""Lines of a pipeline: the fields of their models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from contracts.pipeline.lines import MODELS, PipelineLine
from docs.reading.docstrings import introduction
from docs.reading.parameter import Parameter


def line_types() -> dict[str, tuple[str, list[Parameter]]]:
    """Type of a pipeline's line -> introduction, its fields."""
    return {name: (introduction(model), list(_of_line(model))) for name, model in MODELS.items()}


def _of_line(model: type[PipelineLine]) -> Iterator[Parameter]:
    fields = {name: field for name, field in model.model_fields.items() if name != "type"}
    shapes = model.model_json_schema()["properties"]
    for name, field in sorted(
        fields.items(), key=lambda each: (not each[1].is_required(), each[0] in ("name", "needs"))
    ):
        described = (field.description, *(getattr(each, "description", None) for each in field.metadata))
        text = next((each for each in described if each), "")
        default = "must be given" if field.is_required() else f"`{json.dumps(field.default)}`"
        yield Parameter(names=(name,), type=_shape(shapes[name]), default=default, text=text.rstrip(".") + ".")


def _shape(shape: dict[str, Any]) -> str:
    """A JSON Schema's type in one or two words."""
    if "anyOf" in shape:
        return " or ".join(dict.fromkeys(_shape(each) for each in shape["anyOf"]))
    if shape.get("type") == "array":
        return "list of texts"
    names = {"string": "text", "object": "object", "boolean": "true or false", "null": "null"}
    return names.get(shape.get("type", ""), "JSON" if "type" not in shape else "a number")
