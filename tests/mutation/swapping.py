"""Changed functions in place of those that modules below `mutants/` have: the rest runs as fast as ever.

mutmut decorates each function with a trampoline that looks at each call which change is tried. Here the decorator only
remembers the function; a change is tried by giving it the changed one's code.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType, FunctionType
from typing import Any

#: mangled name of a function -> itself, and its changes by their names
_FUNCTIONS: dict[str, tuple[FunctionType, dict[str, Any]]] = {}


def wrap(changes: dict[str, Any], is_classmethod: bool = False) -> Callable[[Any], Any]:
    """In place of mutmut's `wrap_in_trampoline`; `changes` is filled after the function's class is complete."""

    def remember(function: FunctionType) -> FunctionType:
        owner, _, name = function.__qualname__.rpartition(".")
        _FUNCTIONS[f"{function.__module__}.x{f'ǁ{owner}ǁ' if owner else '_'}{name}"] = (function, changes)
        return function

    return remember


def change(mutant: str) -> None:
    """From now on its function does what the mutant does."""
    function, changes = _FUNCTIONS[mutant.partition("__mutmut_")[0]]
    found = changes[mutant.rpartition(".")[2]]
    changed = getattr(found, "__func__", found)  # a class method's
    function.__code__ = changed.__code__
    function.__defaults__, function.__kwdefaults__ = changed.__defaults__, changed.__kwdefaults__


def forget_answers() -> None:
    """Empty what modules of such functions remember (`lru_cache`): each answer is worked out anew, by what is changed.

    Else a test would seem not to reach what an earlier one has asked for, and a change would not be seen behind what
    was asked while modules were loaded.
    """
    for name in {function.__module__ for function, _ in _FUNCTIONS.values()}:
        for value in list(vars(sys.modules[name]).values()):
            clear = getattr(value, "cache_clear", None)
            if clear is not None:
                clear()


@contextmanager
def noting_calls(called: set[str]) -> Iterator[None]:
    """Functions' mangled names go into `called`, as far as this thread, or one that begins meanwhile, calls them."""
    names: dict[CodeType, str] = {function.__code__: name for name, (function, _) in _FUNCTIONS.items()}

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and (name := names.get(frame.f_code)) is not None:
            called.add(name)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
