"""`python -m benchmarks.stand.counted_agent …`: `worker-agent …` that writes what it holds into the file `held` of its
working folder, every five seconds: tasks of asyncio, and objects that Python's garbage collector knows."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time
from pathlib import Path

from worker_agent.__main__ import main

EVERY = 5.0


def _write() -> None:
    while True:
        time.sleep(EVERY)
        loops = [found for found in gc.get_objects() if isinstance(found, asyncio.BaseEventLoop)]
        held = {
            "tasks of asyncio": sum(len(asyncio.all_tasks(loop)) for loop in loops),
            "objects of Python": len(gc.get_objects()),
        }
        Path("held.new").write_text(json.dumps(held))
        Path("held.new").replace("held")


if __name__ == "__main__":
    threading.Thread(target=_write, daemon=True).start()
    main()
