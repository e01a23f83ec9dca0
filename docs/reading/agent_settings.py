"""Settings of worker-agent: the fields of their model, with flag, variable and key in the file."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable
from typing import Any

from annotated_types import Ge, Gt, Le
from pydantic import ByteSize, SecretStr

from docs.reading.parameter import DEFAULT, UNITS, Parameter
from worker_agent.program.loading import flag_of, variable_of
from worker_agent.program.settings import Settings


def agent_settings() -> dict[str, list[Parameter]]:
    """Group -> its settings. A setting's names: flag, variable, key in the file."""
    groups: dict[str, list[Parameter]] = {}
    for name, field in Settings.model_fields.items():
        extra = typing.cast("dict[str, str]", field.json_schema_extra)
        groups.setdefault(extra["group"], []).append(_of_field(name, field, extra))
    return groups


def _of_field(name: str, field: Any, extra: dict[str, str]) -> Parameter:
    kind = _kind_of_field(field.annotation, extra.get("metavar"))
    bounds = _bounds(field.metadata)
    text = field.description
    said = DEFAULT.search(text)
    if said is not None:
        text, shown = text[: said.start()] + text[said.end() :], said[1]
    elif field.default in (None, (), ""):
        shown = "none"
    elif isinstance(field.default, bool):
        shown = "yes" if field.default else "no"
    elif isinstance(field.default, tuple):
        shown = ", ".join(f"`{each}`" for each in field.default)
    else:
        shown = f"`{field.default:g}`" if isinstance(field.default, float) else f"`{field.default}`"
    flag = f"{flag_of(name)} / --no-{name.replace('_', '-')}" if kind == "yes or no" else flag_of(name)
    unit = UNITS.get(extra.get("metavar") or "", "")
    return Parameter(
        names=(flag, variable_of(name), name), type=f"{kind}, {bounds}" if bounds else kind, unit=unit, default=shown,
        text=text.strip(),
    )  # fmt: skip


def _kind_of_field(annotation: Any, metavar: str | None) -> str:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        annotation = next(part for part in typing.get_args(annotation) if part is not type(None))
    if typing.get_origin(annotation) is typing.Literal:
        return "one of " + ", ".join(f"`{value}`" for value in typing.get_args(annotation))
    if typing.get_origin(annotation) is tuple:
        return f"{_kind_of_field(typing.get_args(annotation)[0], metavar)}, several"
    plain = {bool: "yes or no", int: "whole number", float: "number", ByteSize: "size", SecretStr: "text", str: "text"}
    return plain.get(annotation) or ("folder" if metavar == "FOLDER" else "file")


def _bounds(metadata: Iterable[Any]) -> str:
    """In words: "1 to 600", "more than 0"."""
    least = [f"{each.ge:g}" for each in metadata if isinstance(each, Ge)]
    above = [f"more than {each.gt:g}" for each in metadata if isinstance(each, Gt)]
    most = [f"{each.le:g}" for each in metadata if isinstance(each, Le)]
    if least and most:
        return f"{least[0]} to {most[0]}"
    return ", ".join([*(f"{each} or more" for each in least), *above, *(f"at most {each}" for each in most)])
