"""Where a command's paths are: joined to the builder's folder as Buildbot's worker does (buildbot_worker/pb.py).

Absolute paths are allowed there, and so here: what a build does on a worker is the master's configuration.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any


def resolve(name: str, args: Mapping[str, Any], builder: str) -> dict[str, Any]:
    """`args` of command `name` with its paths made absolute. Raises KeyError for one that the master left out."""
    resolved = dict(args)

    def take(key: str) -> Any:
        return resolved.pop(key)

    def join(*parts: str) -> str:
        return os.path.join(builder, *parts)

    if name == "mkdir":
        resolved["paths"] = [join(take("dir"))]
    elif name == "rmdir":
        folders = take("dir")
        resolved["paths"] = [join(folder) for folder in (folders if isinstance(folders, list) else [folders])]
    elif name == "cpdir":
        resolved["from_path"], resolved["to_path"] = join(take("fromdir")), join(take("todir"))
    elif name == "stat":
        resolved["path"] = join(resolved.get("workdir", ""), take("file"))
    elif name == "glob":
        resolved["path"] = join(resolved["path"])
    elif name == "listdir":
        resolved["path"] = join(take("dir"))
    elif name == "rmfile":
        resolved["path"] = join(os.path.expanduser(resolved["path"]))
    elif name == "shell":
        resolved["workdir"] = join(resolved["workdir"])
    elif name in ("uploadFile", "uploadDirectory"):
        resolved["path"] = join(take("workdir"), os.path.expanduser(take("workersrc")))
    elif name == "downloadFile":
        resolved["path"] = join(take("workdir"), os.path.expanduser(take("workerdest")))
    return resolved
