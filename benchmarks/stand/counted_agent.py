"""`python -m benchmarks.stand.counted_agent …`: `worker-agent …` that tells what it holds (`held`), tasks of asyncio
among it."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from pathlib import Path

from benchmarks.stand.held import LOOK, Holder
from worker_agent.__main__ import main


def _tasks() -> dict[str, float]:
    loops = [found for found in gc.get_objects() if issubclass(type(found), asyncio.BaseEventLoop)]
    return {"tasks of asyncio": sum(len(asyncio.all_tasks(loop)) for loop in loops)}


def _tell() -> None:
    holder = Holder(Path.cwd(), _tasks)
    while True:
        time.sleep(LOOK)
        holder.look()


if __name__ == "__main__":
    threading.Thread(target=_tell, daemon=True).start()
    main()
