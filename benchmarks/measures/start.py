"""How long a worker's start takes until it can be given work: ours as README starts it, with `--auto-capabilities`.

first      nothing is known of the machine: it is probed
again      what was found at the start before is kept, as after a restart
crowd      24 agents (with PB: workers) that are started at one moment, until the last of them takes work
"""

from __future__ import annotations

import time

from benchmarks.stand.peers import CROWD, Peer
from benchmarks.stand.stage import Stage


def run(stage: Stage) -> None:
    peers = [peer for peer in stage.peers if peer.name == "PB" or peer.ours]
    ours = [peer for peer in peers if peer.ours]
    stage.measure("start", "first, --auto-capabilities", "s", "less", _first, peers=ours)
    stage.measure("start", "again, --auto-capabilities", "s", "less", _again, peers=ours)
    if not stage.quick:
        stage.measure("start", f"{CROWD} at once, --auto-capabilities", "s", "less", _crowd, peers=peers)
    for peer in ours if stage.quick else stage.peers:  # in a full run, footprint finds what it wants to wait for
        peer.renew()


def _first(peer: Peer) -> float:
    peer.have_workers(0)
    began = time.monotonic()
    peer.have_workers(1, documented=True)
    return time.monotonic() - began


def _again(peer: Peer) -> float:
    """Of a worker that has run before, in the same folder."""
    if not peer.workers:
        peer.have_workers(1, documented=True)
    return peer.restart(peer.workers[0])


def _crowd(peer: Peer) -> float:
    peer.have_workers(0)
    began = time.monotonic()
    peer.have_workers(CROWD, documented=True)
    took = time.monotonic() - began
    peer.have_workers(0)  # the next peer has the machine for itself
    return took
