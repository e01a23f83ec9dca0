"""Waiting for a condition with a deadline: never a bare sleep in a test."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(
    condition: Callable[[], T | None],
    timeout: float,
    what: str | Callable[[], str],
    every: float = 0.1,
    slowest: float = 0.0,
) -> T:
    """The first true value of `condition`; raises `AssertionError` that names `what` after `timeout` seconds.

    `every`: seconds between two looks. With `slowest` ever more, up to that: for looks that cost processor time.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what() if callable(what) else what}")
        time.sleep(every)
        every = max(every, min(every * 1.5, slowest))


def wait_while_it_moves(
    condition: Callable[[], object],
    progress: Callable[[], object],
    what: Callable[[], str],
    *,
    still: float,
    every: float = 1.0,
) -> None:
    """Until `condition()` is true; raises `AssertionError` once `progress()` has been the same for `still` seconds.

    For work whose duration is the machine's load: it is over, or it stands still. `every`: seconds between two looks
    at the condition; at the progress, which may cost more, there are twenty in `still`.
    """
    last, since = progress(), time.monotonic()
    looked = since
    while not condition():
        if (now := time.monotonic()) > looked + still / 20:
            looked = now
            if (moved := progress()) != last:
                last, since = moved, now
            elif now > since + still:
                raise AssertionError(f"nothing moved for {still:g} s: {what()}")
        time.sleep(every)
