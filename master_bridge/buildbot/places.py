"""Folders of the build's own worker in a command that runs on another machine.

Buildbot's properties `builddir` and `basedir` name folders of the worker that the build has. A `CapabilityCommand` goes
to any agent, in a folder of its own there; nobody knows which when its arguments are made. So such a folder in them is
a mistake, which is told: by `checkconfig` where it can be seen, else by the step.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from buildbot.process.properties import Interpolate, Property, WithProperties

#: Properties that Buildbot sets to folders of the build's worker.
OF_THE_WORKER = ("builddir", "basedir")
INSTEAD = (
    "the command runs on another machine, in a folder of its own: use paths relative to it "
    "(it starts in the builder's directory there, in `workdir`)"
)
_NAMED = re.compile(rf"%\((?:prop:)?({'|'.join(OF_THE_WORKER)})\b|%\(worker:(worker_basedir|basedir)\b")


def named(value: Any) -> Iterator[str]:
    """Properties of that kind for which `value`, not yet rendered, asks."""
    if isinstance(value, (Interpolate, WithProperties)):
        yield from (first or second for first, second in _NAMED.findall(value.fmtstring))
        yield from named([*getattr(value, "args", ()), *getattr(value, "kwargs", {}).values()])
    elif isinstance(value, Property):
        if value.key in OF_THE_WORKER:
            yield value.key
    elif isinstance(value, Mapping):
        yield from named([*value.keys(), *value.values()])
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from named(item)


def used(arguments: Any, folders: Mapping[str, Any]) -> str | None:
    """The property whose folder, or one below it, stands in the rendered `arguments`; None: none of `folders` does."""
    for name, folder in folders.items():
        if isinstance(folder, str) and len(folder.rstrip("/")) > 1:
            pattern = re.compile(rf"(?<![\w./~-]){re.escape(folder.rstrip('/'))}(?![\w.-])")
            if any(pattern.search(text) for text in _texts(arguments)):
                return name
    return None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (bytes, bytearray)):
        yield value.decode(errors="replace")
    elif isinstance(value, Mapping):
        yield from _texts([*value.keys(), *value.values()])
    elif isinstance(value, Iterable):
        for item in value:
            yield from _texts(item)
