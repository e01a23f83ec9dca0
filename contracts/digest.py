"""The digest by which an agent knows a repeated command from a changed one (docs/protocol.md, "The journal")."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def command_digest(name: str, args: Mapping[str, Any], content: str = "") -> str:
    """Hex SHA-256 of a command's name, its JSON arguments, and the hex SHA-256 of what a download delivers.

    `args` must be without reader and writer objects. Keys are sorted, so their order does not count.
    """
    import hashlib  # OpenSSL is 0.7 MB of memory that a keeper in waiting does without

    text = json.dumps([name, args, content], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
