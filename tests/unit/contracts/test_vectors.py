"""The test vectors are current, and Python reads them as they stand."""

from __future__ import annotations

import base64
import json
from typing import Any

import jsonschema
import pytest

from contracts import schema, vectors
from contracts.codec import decode
from contracts.digest import command_digest
from contracts.errors import BadMessage, UnknownVersion
from contracts.topology import cap_queue, queue_signature
from contracts.vectors import generate

SCHEMAS = {name: schema.schema(name, model) for name, model in schema.message_types()}


def test_the_files_in_the_repository_are_those_that_the_models_give() -> None:
    """A change of the codec without `python -m contracts.vectors` is caught here."""
    written = {path.name: path.read_text(encoding="utf-8") for path in vectors.FOLDER.glob("*.json")}
    assert written == generate.documents()


@pytest.mark.parametrize("vector", vectors.good(), ids=lambda vector: vector["name"])
def test_a_good_vector_is_read_as_it_stands_and_fits_its_schema(vector: dict[str, Any]) -> None:
    """From the wire to the message, to the byte; and the published schema says the same of it."""
    wire = vector["wire"]
    message = decode(base64.b64decode(wire["body"]), wire["headers"])
    assert json.loads(message.model_dump_json()) == vector["message"]
    assert getattr(message, "data", b"") == base64.b64decode(vector["data"])
    assert wire["type"] == vector["message"]["t"]
    jsonschema.Draft202012Validator(SCHEMAS[wire["type"]]).validate(vector["message"])


@pytest.mark.parametrize("vector", vectors.bad(), ids=lambda vector: vector["name"])
def test_a_bad_vector_is_refused_with_a_reason(vector: dict[str, Any]) -> None:
    """Versions apart from all else: they are the peer's fault, or ours."""
    wire = vector["wire"]
    with pytest.raises(UnknownVersion if vector["why"] == "version" else BadMessage, match=r"."):
        decode(base64.b64decode(wire["body"]), wire["headers"])


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_schema_is_one(name: str) -> None:
    """Valid by the metaschema of its dialect."""
    assert SCHEMAS[name]["$schema"] == jsonschema.Draft202012Validator.META_SCHEMA["$id"]
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])


def test_a_wrong_message_does_not_fit_its_schema() -> None:
    """The schemas are no rubber stamp: a missing field, a wrong type, a bad id."""
    validator = jsonschema.Draft202012Validator(SCHEMAS["ping"])
    good = {"t": "ping", "v": 1, "session": "s", "incarnation": "i", "stored": 0}
    assert validator.is_valid(good)
    for change in ({"stored": "0"}, {"stored": -1}, {"session": "a b"}, {"t": "pong"}, {"v": 0}):
        assert not validator.is_valid({**good, **change}), change
    assert not validator.is_valid({key: value for key, value in good.items() if key != "stored"})


@pytest.mark.parametrize("vector", vectors.digests(), ids=lambda vector: vector["name"])
def test_a_digest_is_that_of_the_vectors(vector: dict[str, Any]) -> None:
    assert command_digest(vector["name"], vector["args"], vector["content"]) == vector["digest"]


@pytest.mark.parametrize("vector", vectors.signatures(), ids=lambda vector: vector["signature"])
def test_a_queue_is_spelled_as_in_the_vectors(vector: dict[str, Any]) -> None:
    assert cap_queue(vector["signature"]) == vector["queue"]
    assert queue_signature(vector["queue"]) == vector["signature"]
