"""One line of text into its model. What is wrong is said with the field, what it should be, and what was meant.

The step on the master and the checker at a developer's desk read by these functions alone: the same words in both.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from contracts.pipeline.lines import LINE_MAX, MODELS, VERSION, PipelineLine
from contracts.readable import is_deeper

#: Characters of a value that an error shows.
SHOWN_MAX = 80
#: Lists and objects in one another; a JSON parser of another language may have less room.
DEPTH_MAX = 50


class BadLine(ValueError):
    """A line asks for what cannot be; the message names field and remedy, without the line's number."""


def read(text: str) -> PipelineLine:
    """The line's model. Raises `BadLine`."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > LINE_MAX:
        raise BadLine(f"the line has {size} bytes, at most {LINE_MAX} can be read: put what is large into a file")
    found = _object(text)
    kind = found.get("type")
    if kind is None:
        raise BadLine(f"field `type` is missing: {_one_of(MODELS)}")
    if not isinstance(kind, str) or kind not in MODELS:
        raise BadLine(f"field `type`: {_shown(kind)} is no kind of line{_meant(kind, MODELS)}: {_one_of(MODELS)}")
    model = MODELS[kind]
    for name in found:
        if name not in model.model_fields:
            raise BadLine(
                f"field {_shown(name, '`')} is not one of `{kind}`{_meant(name, model.model_fields)}: "
                f"{_one_of(model.model_fields)}"
            )
    try:
        line = model.model_validate_json(text)
    except ValidationError as error:
        raise BadLine(_problem(kind, error)) from None
    if kind == "version" and found["version"] != VERSION:
        raise BadLine(
            f"field `version`: {_shown(found['version'])} cannot be read here, {VERSION} can: "
            "write that version, or upgrade the master"
        )
    return line


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise BadLine(
            f"character {error.pos + 1}: this is no JSON ({error.msg}): write one object in one line, "
            'as in {"type": "run", "command": ["make"]}'
        ) from None
    except RecursionError:
        raise BadLine(f"lists and objects are more than {DEPTH_MAX} deep: put what is large into a file") from None
    if not isinstance(found, dict):
        raise BadLine(f'{_shown(found)} is no object: write {{"type": "run", "command": ["make"]}}')
    if is_deeper(found, DEPTH_MAX):
        raise BadLine(f"lists and objects are more than {DEPTH_MAX} deep: put what is large into a file")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise BadLine(f"field {_shown(name, '`')} is there twice: keep one of them")
        if isinstance(value, float) and not math.isfinite(value):
            raise BadLine(f"field {_shown(name, '`')}: a number is too large: write it as text")
        found[name] = value
    return found


def _no_number(name: str) -> Any:
    raise BadLine(f"{name} is no JSON: write a number or null")


def _problem(kind: str, error: ValidationError) -> str:
    """The first thing that is wrong, in our words."""
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":  # what the standard library's parser takes: half a character, for instance
        return f"this is no JSON ({first['msg'].removeprefix('Invalid JSON: ')}): write one object in one line"
    # what pydantic puts between the fields: names of models and of the alternatives of a union
    where = [part for part in first["loc"] if isinstance(part, int) or (part in MODELS[kind].model_fields)]
    name = str(where[0]) if where else "type"
    field = MODELS[kind].model_fields.get(name)
    if first["type"] == "missing":
        return f"field `{name}` of `{kind}` is missing: {_what(field)}"
    position = f", item {where[1] + 1}" if len(where) > 1 and isinstance(where[1], int) else ""
    return f"field `{name}`{position}: {_shown(first['input'])} does not fit; it is: {_what(field)}"


def _what(field: Any) -> str:
    """What belongs into a field: its description, else the form of its type."""
    described = next(
        (each.description for each in (field, *getattr(field, "metadata", ())) if getattr(each, "description", None)),
        None,
    )
    return str(described or "see the reference of pipelines").rstrip(".")


def _meant(name: object, known: Iterable[str]) -> str:
    """ ", did you mean …?" where something known looks like `name`."""
    near = near_miss(str(name), known)
    return f", did you mean `{near}`?" if near else ""


def near_miss(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like `name`, if one does."""
    wanted = name[:200].casefold().replace("-", "_")
    found = difflib.get_close_matches(wanted, {each.casefold(): each for each in known}, n=1, cutoff=0.6)
    return next((each for each in known if found and each.casefold() == found[0]), None)


def _one_of(names: Iterable[str]) -> str:
    return "it is one of " + ", ".join(f"`{name}`" for name in names)


def _shown(value: object, quote: str = "") -> str:
    text = value if quote and isinstance(value, str) else json.dumps(value, ensure_ascii=True, default=str)
    text = "".join(character if character.isprintable() else "?" for character in text)
    return f"{quote}{text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 2] + ' …'}{quote}"
