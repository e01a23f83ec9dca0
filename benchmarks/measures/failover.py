"""A worker goes away in mid-command: how long until the work is going on again.

worker    SIGKILL to the worker and all it started: until the command runs on another worker
main      SIGKILL to the worker's main process alone: until the command runs on another worker
master    SIGKILL to the master, and a new one at once: until the build has its command again
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator

from benchmarks.report.figures import Wrong
from benchmarks.stand.peers import Peer, end_tree
from benchmarks.stand.stage import Stage
from contracts.timing import LINK_UP_SETTLING
from tests.harness.master import Build
from tests.harness.waiting import wait_for

_TIMEOUT = 90.0


def run(stage: Stage) -> None:
    peers = [peer for peer in stage.peers if peer.name == "PB" or peer.ours]
    for peer in peers:
        peer.have_workers(2)
        # just after its start a bridge gives everybody more time to come back (docs/protocol.md, rule 10)
        time.sleep(max(0.0, peer.up_since + LINK_UP_SETTLING - time.monotonic()))
    stage.measure("failover", "worker killed", "s", "less", _worker_killed, peers=peers)
    stage.measure("failover", "worker's main process killed", "s", "less", _main_killed, peers=peers)
    for peer in peers:
        peer.have_workers(1)
    stage.measure("failover", "master killed, started again", "s", "less", _master_killed, peers=peers)


@contextlib.contextmanager
def _running(peer: Peer) -> Iterator[tuple[int, Build, str]]:
    """A build whose command sleeps: request, build, the pid that the command told. It is over at the block's end."""
    request = peer.master.force("fail")
    try:
        told = wait_for(lambda: _told(peer, request), _TIMEOUT, "the command has told its pid")
        yield request, peer.master.builds(request)[-1], told
        for pid in peer.command_pids("sleep 600"):
            os.kill(pid, signal.SIGKILL)
        peer.master.finished(request, 60)
    except (Wrong, AssertionError):
        peer.give_up(request)  # or it has the worker of what is measured next
        raise


def _told(peer: Peer, request: int) -> str | None:
    """The pid of the newest build's command: of its process if it lives, since Buildbot's worker tells late."""
    builds = peer.master.builds(request)
    if not builds or "where" not in builds[-1].steps:
        return None
    pids = peer.command_pids("sleep 600")
    return str(pids[-1]) if pids else None


def _worker_killed(peer: Peer) -> float:
    return _moved(peer, end_tree)


def _main_killed(peer: Peer) -> float:
    return _moved(peer, lambda pid: os.kill(pid, signal.SIGKILL))


def _moved(peer: Peer, kill: Callable[[int], None]) -> float:
    """Seconds until the command of a worker whose main process `kill` has ended runs on another one."""
    peer.have_workers(2)
    with _running(peer) as (request, build, pid):
        victim = next(worker for worker in peer.workers if int(pid) in peer.tree_of(worker))
        peer.workers.remove(victim)
        killed = time.monotonic()
        kill(victim.pid)
        victim.stop()
        wait_for(lambda: _told(peer, request) not in (None, pid), _TIMEOUT, "the command runs again", every=0.02)
        took = time.monotonic() - killed
        if peer.master.builds(request)[-1].id == build.id:
            raise Wrong("the same build goes on, though its worker is gone")
        with contextlib.suppress(ProcessLookupError):  # PB's worker leaves it behind when it is killed
            os.kill(int(pid), signal.SIGKILL)
    return took


def _master_killed(peer: Peer) -> float:
    with _running(peer) as (request, build, pid):
        killed = time.monotonic()
        peer.master.kill()
        peer.master.start()

        def goes_on() -> bool:
            builds = peer.master.builds(request)
            if not builds or builds[-1].id == build.id:
                return False
            if peer.ours:  # the command that ran is followed: the new build shows its output
                steps = builds[-1].steps
                return "where" in steps and pid in peer.output(builds[-1], "where")
            return _told(peer, request) not in (None, pid)

        wait_for(goes_on, _TIMEOUT, "the build goes on", every=0.02)
        return time.monotonic() - killed
