"""JSON Schemas to Hypothesis strategies: any value that a schema of contracts/schemas allows.

Knows the words that those schemas use and raises KeyError for any other, so that none is left out unnoticed.
(hypothesis-jsonschema, which would do, does not run with the Hypothesis of today.)
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Schema = dict[str, Any]

_SAID_ELSEWHERE = {"$id", "$schema", "$defs", "title", "description", "default"}
#: What JSON can hold; numbers and texts of all sizes that a broker's message may have.
ANY_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


def values(schema: Schema, defs: dict[str, Schema] | None = None) -> st.SearchStrategy[Any]:
    """Any value that `schema` allows. `defs`: the `$defs` of the document that it is part of."""
    defs = schema.get("$defs", {}) if defs is None else defs
    words = {word: value for word, value in schema.items() if word not in _SAID_ELSEWHERE}
    if "$ref" in words:
        return values(defs[words["$ref"].rpartition("/")[2]], defs)
    if "const" in words:
        return st.just(words["const"])
    if "enum" in words:
        return st.sampled_from(words["enum"])
    if "anyOf" in words:
        return st.one_of([values(one, defs) for one in words["anyOf"]])
    if not words:
        return ANY_JSON
    return _TYPES[words.pop("type")](words, defs)  # type: ignore[no-untyped-call]  # a lambda


def _objects(words: Schema, defs: dict[str, Schema]) -> st.SearchStrategy[Any]:
    properties = words.get("properties")
    if properties is None:
        more = words.get("additionalProperties", {})
        return st.dictionaries(st.text(max_size=20), values(more if isinstance(more, dict) else {}, defs), max_size=4)
    required = words.get("required", [])
    return st.fixed_dictionaries(
        {name: values(properties[name], defs) for name in required},
        optional={name: values(schema, defs) for name, schema in properties.items() if name not in required},
    )


def _arrays(words: Schema, defs: dict[str, Schema]) -> st.SearchStrategy[Any]:
    return st.lists(values(words["items"], defs), max_size=3)


def _texts(words: Schema, _: dict[str, Schema]) -> st.SearchStrategy[Any]:
    least, most = words.get("minLength", 0), words.get("maxLength", 60)
    if "pattern" not in words:
        return st.text(min_size=least, max_size=most)
    return st.from_regex(words["pattern"], fullmatch=True).filter(lambda text: least <= len(text) <= most)


def _integers(words: Schema, _: dict[str, Schema]) -> st.SearchStrategy[Any]:
    return st.integers(min_value=words.get("minimum"), max_value=words.get("maximum"))


def _numbers(words: Schema, _: dict[str, Schema]) -> st.SearchStrategy[Any]:
    above = words.get("exclusiveMinimum")
    return st.floats(min_value=above, exclude_min=above is not None, allow_nan=False, allow_infinity=False)


_TYPES = {
    "object": _objects,
    "array": _arrays,
    "string": _texts,
    "integer": _integers,
    "number": _numbers,
    "boolean": lambda _words, _defs: st.booleans(),
    "null": lambda _words, _defs: st.none(),
}
