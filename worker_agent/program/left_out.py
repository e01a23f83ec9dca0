"""What libraries load and an agent has no use for.

- structlog reads `rich` and Twisted where they happen to be installed, for a colourful traceback and Twisted's logs:
  8 MB and a quarter of a second.
- pydantic, aio-pika and aiormq ask `importlib.metadata`, which loads `email`, `zipfile` and `csv`, for versions and for
  pydantic's plugins, of which an agent wants none: 1.4 MB. Whatever else it is asked, the real one answers.
- pydantic imports `zoneinfo`, which reads how Python was built to learn where the system's time zones are: 0.7 MB.
- What is imported for functions that an agent seldom or never calls, as yarl's `idna` for host names that are not
  ASCII and shutil's `bz2` for archives, is loaded when one is called: 0.9 MB.

click is left out in another way: `worker_agent.program.reading`.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable
from typing import Any

from worker_agent.keeper.left_out import StandIn

_ZONES = "PYTHONTZPATH"
_SELDOM = ("idna", "bz2", "lzma", "gzip", "calendar", "locale")


def leave_out() -> None:
    """To be called before anything else is imported. Time zones are known from Linux's usual place from then on."""
    for unused in ("rich", "twisted"):
        sys.modules.setdefault(unused, None)  # type: ignore[arg-type]  # importlib: None says that there is no such module
    for seldom in _SELDOM:
        sys.modules.setdefault(seldom, StandIn(seldom))
    if _METADATA.__name__ not in sys.modules:
        importlib.metadata = sys.modules[_METADATA.__name__] = _METADATA
    if "zoneinfo" not in sys.modules and _ZONES not in os.environ:
        os.environ[_ZONES] = "/usr/share/zoneinfo"
        try:
            import zoneinfo  # noqa: F401  # it reads the variable once
        finally:
            del os.environ[_ZONES]


class _Metadata(StandIn):
    """Stands in for `importlib.metadata` until somebody asks for more than versions."""

    def version(self, name: str) -> str:
        """Of an installed distribution: as its folder is named, or as the real one says."""
        begin = name.replace("-", "_").lower() + "-"
        for folder in sys.path:
            for entry in _names(folder):
                if entry.lower().startswith(begin) and entry.endswith(".dist-info"):
                    return entry[len(begin) : -len(".dist-info")]
        return self.real().version(name)  # type: ignore[no-any-return]  # a module's attribute

    def entry_points(self, **which: Any) -> Iterable[Any]:
        """None for pydantic: an agent's messages are to be what they are without plugins."""
        return () if which == {"group": "pydantic"} else self.real().entry_points(**which)

    class Distribution:
        """What aio-pika asks for its version."""

        def __init__(self, name: str) -> None:
            self._name = name

        @classmethod
        def from_name(cls, name: str) -> _Metadata.Distribution:
            return cls(name)

        @property
        def version(self) -> str:
            return _METADATA.version(self._name)

        def __getattr__(self, name: str) -> Any:
            return getattr(_METADATA.real().Distribution.from_name(self._name), name)


_METADATA = _Metadata("importlib.metadata")


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder or ".")
    except OSError:  # not there, or a zip file
        return []
