"""The folder of a builder on an agent: one component of a path, whatever `workerbuilddir` is."""

from __future__ import annotations

import hashlib
import re

from contracts.topology import COMPONENT_MAX, is_component

_DIGEST = 12


def component(workerbuilddir: str) -> str:
    """`workerbuilddir` itself where it is one component; else a readable beginning and a digest of all of it.

    So two builders share a folder only if they have the same `workerbuilddir`: "a/b" is not "a_b".
    """
    if is_component(workerbuilddir):
        return workerbuilddir
    text = workerbuilddir.encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(text).hexdigest()[:_DIGEST]
    readable = re.sub(rb"[/\0]", b"_", text)[: COMPONENT_MAX - _DIGEST - 1].decode("utf-8", "ignore")
    return f"{readable}-{digest}"
