"""The contract as others read it: by the official AsyncAPI parser, by the validator of JSON Schema, from JavaScript."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

from contracts import schema, vectors
from contracts.trust import hpke, sealing
from tests.acceptance.protocol.npm import NODE_WORKER, installed

HERE = Path(__file__).parent


def node(script: str, text: str) -> Any:
    done = subprocess.run(["node", HERE / script], input=text, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_official_parser_accepts_the_asyncapi_document() -> None:
    """It finds neither errors nor warnings, and sees every operation."""
    installed(HERE)
    document = schema.asyncapi()
    said = node("validate.js", json.dumps(document))
    assert said["problems"] == []
    assert sorted(said["operations"]) == sorted(document["operations"])


def test_the_official_parser_refuses_a_document_that_is_wrong() -> None:
    """The test above can fail."""
    installed(HERE)
    document = schema.asyncapi()
    document["operations"]["receive-control"]["action"] = "listen"
    del document["channels"]["offers"]["messages"]["offer"]
    assert node("validate.js", json.dumps(document))["problems"]


def test_the_node_worker_reads_every_vector() -> None:
    """What Python writes JavaScript reads, to the byte; what must be refused it refuses."""
    installed(NODE_WORKER)
    good, bad = vectors.good(), vectors.bad()
    read = node("vectors.js", json.dumps([*good, *(v for v in bad if v["why"] in ("json", "version"))]))
    for vector, found in zip(good, read, strict=False):
        assert found == {"message": vector["message"], "data": vector["data"]}, vector["name"]
    refused = read[len(good) :]
    assert refused
    assert all("error" in found for found in refused)


def test_the_node_worker_opens_and_seals_every_vector() -> None:
    """Rule 24: what Python seals JavaScript opens, once, and what it seals is the same to the byte."""
    given = vectors.seals()
    for vector, found in zip(given["messages"], node("seals.js", json.dumps(given)), strict=True):
        if vector["from"] == "agent":
            assert base64.b64decode(found) == resealed(given, vector), vector["name"]
            continue
        opened, again, elsewhere = found
        assert opened == {"message": vector["message"]["message"], "data": vector["message"]["data"]}
        assert "came before" in again["error"]
        assert "error" in elsewhere


def resealed(given: dict[str, Any], vector: dict[str, Any]) -> bytes:
    """JSON has many spellings: what JavaScript writes has to be what Python opens, so it is sealed as that wrote it."""
    message = vector["message"]
    text = json.dumps(message["message"], separators=(",", ":"), ensure_ascii=False).encode()
    plain = len(text).to_bytes(4, "big") + text + base64.b64decode(message["data"])
    parties = sealing.Parties(**given["parties"])
    context = hpke.received(bytes.fromhex(given["seal"]), bytes.fromhex(given["agent"]["private"]), parties.info())
    keys = context.export(b"agent to master", 44)
    return hpke.Cipher(key=keys[:32], base_nonce=keys[32:]).seal(vector["sealed"]["message"]["number"], plain)


def test_the_node_worker_stays_small() -> None:
    """An example is read: all its files together are under 810 lines, with operators, seals and paced statuses."""
    files = sorted(NODE_WORKER.glob("*.js"))
    assert {"worker.js", "session.js"} <= {file.name for file in files}
    assert sum(len(file.read_text().splitlines()) for file in files) < 810
