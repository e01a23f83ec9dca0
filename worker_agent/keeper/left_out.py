"""What Python's library loads and a keeper has no use of: one and a half of the twelve megabytes that it takes."""

from __future__ import annotations

import _thread
import importlib
import sys
import types

#: asyncio and dataclasses load `inspect`, with `ast` and `dis`; psutil loads `datetime`; subprocess loads `locale`;
#: linecache, of which a traceback is made, loads `tokenize`. All of them for functions that a keeper seldom calls.
_SELDOM = ("inspect", "datetime", "locale", "tokenize")


def leave_out() -> None:
    """To be called before anything else is imported, by this package's small programs. None of them uses TLS."""
    sys.modules["ssl"] = None  # type: ignore[assignment]  # importlib: there is no such module. asyncio does without
    for name in _SELDOM:
        sys.modules.setdefault(name, StandIn(name))


class StandIn(types.ModuleType):
    """Stands in for the module of its name, which is loaded when something is first taken from it."""

    _loading = _thread.allocate_lock()

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):  # the import system's own questions
            raise AttributeError(name)
        return getattr(self.real(), name)

    def real(self) -> types.ModuleType:
        """The module itself, from now on for everybody who imports it."""
        with self._loading:
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]
        return importlib.import_module(self.__name__)
