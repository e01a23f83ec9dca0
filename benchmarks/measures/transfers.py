"""Uploads and downloads by block size, from the command's sending to its end; what arrived is compared byte by byte.

The raw broker's figure is what confirmed, persistent messages of the same size reach from one process to another; it
takes its turns after ours.
"""

from __future__ import annotations

import filecmp
import os
import time
from functools import partial
from pathlib import Path

from benchmarks.measures.raw import raw_throughput
from benchmarks.report.figures import Wrong
from benchmarks.stand.configuration import BLOCKS
from benchmarks.stand.peers import Peer
from benchmarks.stand.stage import MB, Stage

#: Perspective Broker's download in blocks of 1 MiB never ends; all that end take less than 12 s on an idle machine.
_TIMEOUT = 30.0


def run(stage: Stage) -> None:
    for block in BLOCKS[1:2] if stage.quick else BLOCKS:
        kib = f"{block // 1024} KiB blocks"
        raw: list[float] = []
        for direction in ("upload", "download"):
            stage.measure(direction, kib, "MB/s", "more", partial(_turn, stage, direction, block, raw))
        if raw:
            stage.add("raw broker", kib, "raw broker", "MB/s", "more", raw)


def _turn(stage: Stage, direction: str, block: int, raw: list[float], peer: Peer) -> float:
    """MB/s of one transfer; after one of ours `raw` has one more figure, taken on a machine in the same state."""
    reached = _transfer(peer, f"{direction}-{block}", stage.transfer_file)
    if peer.name == "ours":
        os.sync()
        raw.append(raw_throughput(stage.node.url, block, stage.transfer_bytes))
    return reached


def _transfer(peer: Peer, builder: str, sent: Path) -> float:
    arrived = peer.folder / ("uploaded" if builder.startswith("upload") else "downloaded")
    arrived.unlink(missing_ok=True)
    os.sync()  # or what was measured before would still be on its way to the disk
    request = peer.master.force(builder)
    deadline = time.monotonic() + _TIMEOUT
    while not peer.master.get(f"/buildrequests/{request}")["buildrequests"][0]["complete"]:
        lost = [what for _, what, _ in peer.stamps(request)].count("sent") > 1
        if lost or time.monotonic() > deadline:
            peer.give_up(request)  # Perspective Broker loses its worker over a large block, again and again
            raise Wrong("the worker was lost, and the build begun again" if lost else f"not done in {_TIMEOUT:.0f} s")
        time.sleep(0.5)  # each answer costs the master 5 ms of the time that is measured
    build = peer.master.builds(request)[-1]
    if build.result != "SUCCESS":
        raise Wrong(f"the build ended as {build.result}")
    if not arrived.exists() or not filecmp.cmp(arrived, sent, shallow=False):
        size = arrived.stat().st_size if arrived.exists() else 0
        raise Wrong(f"{size} bytes arrived of {sent.stat().st_size}, or others")
    arrived.unlink()
    marks = {what: at for _, what, at in peer.stamps(request)}
    return sent.stat().st_size / MB / (marks["done"] - marks["sent"])
