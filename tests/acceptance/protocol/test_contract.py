"""The contract as others read it: by the official AsyncAPI parser, by the validator of JSON Schema, from JavaScript."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from contracts import schema, vectors
from tests.acceptance.protocol.npm import NODE_WORKER, installed

HERE = Path(__file__).parent


def node(script: str, text: str) -> Any:
    done = subprocess.run(["node", HERE / script], input=text, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_official_parser_accepts_the_asyncapi_document():
    """It finds neither errors nor warnings, and sees every operation."""
    installed(HERE)
    document = schema.asyncapi()
    said = node("validate.js", json.dumps(document))
    assert said["problems"] == []
    assert sorted(said["operations"]) == sorted(document["operations"])


def test_the_official_parser_refuses_a_document_that_is_wrong():
    """The test above can fail."""
    installed(HERE)
    document = schema.asyncapi()
    document["operations"]["receive-control"]["action"] = "listen"
    del document["channels"]["offers"]["messages"]["offer"]
    assert node("validate.js", json.dumps(document))["problems"]


def test_the_node_worker_reads_every_vector():
    """What Python writes JavaScript reads, to the byte; what must be refused it refuses."""
    installed(NODE_WORKER)
    good, bad = vectors.good(), vectors.bad()
    read = node("vectors.js", json.dumps([*good, *(v for v in bad if v["why"] in ("json", "version"))]))
    for vector, found in zip(good, read, strict=False):
        assert found == {"message": vector["message"], "data": vector["data"]}, vector["name"]
    refused = read[len(good) :]
    assert refused
    assert all("error" in found for found in refused)


def test_the_node_worker_stays_small():
    """An example is read: all its files together are under 650 lines."""
    files = sorted(NODE_WORKER.glob("*.js"))
    assert {"worker.js", "session.js"} <= {file.name for file in files}
    assert sum(len(file.read_text().splitlines()) for file in files) < 650
