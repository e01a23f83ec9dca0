"""Wide columns: how long a master with hundreds of places takes to start, to be reconfigured with nothing new, to stop.

`first start`: with an empty database, so that every worker is made a row; `start`: of the second life on.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.report.figures import Wrong
from benchmarks.stand.stage import Stage
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for

_BUILDERS = 3
_WORKERS = {
    "PB": "c['protocols'] = {{'pb': {{'port': 'tcp:%d:interface=127.0.0.1' % PB_PORT}}}}\n"
    "c['workers'] = [worker.Worker('w%d' % i, 'pw') for i in range({places})]\n",
    "ours": "c['workers'] = worker.amqp_column('wide', workers={places}, requires=['wide'])\n",
}
_PATIENCE = 300.0
_RUNNING, _RECONFIGURED = "BuildMaster is running", "configuration update complete"
_STEPS = ("first start", "start", "reconfig, nothing new", "stop")


def run(stage: Stage) -> None:
    for places, rounds in ((100, 1),) if stage.quick else ((300, stage.rounds), (1000, 1)):
        values: dict[tuple[str, str], list[float]] = {}
        failures: dict[str, str] = {}
        for number in range(rounds):
            for peer in _WORKERS:
                if peer in failures:
                    continue
                try:
                    for what, took in _life(stage, peer, places, number).items():
                        values.setdefault((peer, what), []).append(took)
                except (Wrong, AssertionError) as error:
                    failures[peer] = (str(error) or repr(error)).splitlines()[0][:300]
        for what in _STEPS:
            for peer in _WORKERS:
                name, failure = f"{places} places: {what}", failures.get(peer)
                found = [] if failure else values[peer, what]
                stage.add("wide", name, peer, "s", "less", found, failure=failure)


def _life(stage: Stage, peer: str, places: int, number: int) -> dict[str, float]:
    """What a master of that many workers is timed at, from its first start to its last stop."""
    folder = stage.folder / f"wide-{places}-{peer}-{number}"
    config = _WORKERS[peer].format(places=places) + "".join(
        f"builder('b{builder}', c['workers'], steps.ShellCommand(command=['true']))\n" for builder in range(_BUILDERS)
    )
    url = stage.node.url if peer == "ours" else None
    master = BuildMaster(folder, config, url=url, name=f"wide-{places}-{number}")
    master.create(stage.template)
    try:
        took = {"first start": _until(master, _RUNNING, lambda: master.start(wait=False))}
        _stop(master)
        took["start"] = _until(master, _RUNNING, lambda: master.start(wait=False))
        took["reconfig, nothing new"] = _until(master, _RECONFIGURED, lambda: os.kill(master.pid, signal.SIGHUP))
        took["stop"] = _stop(master)
    finally:
        master.kill()
    return took


def _until(master: BuildMaster, text: str, begin: Callable[[], None]) -> float:
    """Seconds from `begin` until the master's log has `text` anew."""
    log = Path(master.folder / "twistd.log")
    before = log.stat().st_size if log.exists() else 0

    def said() -> bool:
        if not log.exists():
            return False
        with log.open("rb") as file:
            file.seek(before)
            return text.encode() in file.read()

    began = time.monotonic()
    begin()
    wait_for(said, _PATIENCE, lambda: f"{text}:\n{master.log()[-4000:]}", every=0.05)
    return time.monotonic() - began


def _stop(master: BuildMaster) -> float:
    began = time.monotonic()
    master.stop(_PATIENCE)
    return time.monotonic() - began
