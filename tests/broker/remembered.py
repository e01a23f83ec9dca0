"""What is kept in this process of what is over."""

from __future__ import annotations

import asyncio
import gc

from aio_pika.tools import OneShotCallback


def remembered() -> int:
    """Futures, and the callbacks of channels that aio-pika keeps: one or more of a channel that is kept.

    What is under way has some, too.
    """
    gc.collect()
    return sum(isinstance(each, (asyncio.Future, OneShotCallback)) for each in gc.get_objects())
