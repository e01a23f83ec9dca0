"""What a build of the second user does to the process that runs it, with a real broker: the agent stays in charge."""

from __future__ import annotations

from pathlib import Path

import psutil

from contracts import topology
from contracts.messages import Claim, Gone, Interrupt
from tests.broker.agent.conftest import OpenMaster
from tests.broker.agent.scripted_master import until
from tests.broker.agent.test_two_users import (
    _folder,
    _pid,
    _running,
    _session,
    installed,  # noqa: F401  # a fixture
)
from tests.broker.agent.two_users import Installation, script

#: Stops each sweep of its user as soon as it is there, and is no child of what it was started by.
STOPS_SWEEPS = """
import os, signal, time
looks = {}
while True:
    time.sleep(0.02)  # a sweep takes longer to start
    for pid in filter(str.isdigit, os.listdir("/proc")):
        looks[pid] = looks.get(pid, 0) + 1
        if looks[pid] > 100:  # for two seconds it was none: it will not become one
            continue
        try:
            if b"worker-agent sweep" in open(f"/proc/{pid}/cmdline", "rb").read():
                os.kill(int(pid), signal.SIGSTOP)
        except OSError:
            continue
"""


async def test_a_build_that_stops_the_process_that_runs_it_can_be_stopped(
    installed: Installation,  # noqa: F811
    open_master: OpenMaster,
    tmp_path: Path,
) -> None:
    """It keeps no time limit and hears no Stop: the session is lost, all of it ends, and the agent works on.

    Not even what stops those that come to end it, as their user may, lives on.
    """
    program = installed.root / "stops.py"
    program.write_text(STOPS_SWEEPS, encoding="utf-8")
    program.chmod(0o644)
    master = await open_master("gtk")
    claim = await _session(master, installed)
    apart = _pid(await _folder(installed), "apart")
    left = [f"/usr/bin/python3 {program}", "sleep 1003", "sleep 1004"]
    text = f"env -i setsid {left[0]} & env -i setsid {left[1]} & kill -STOP $PPID; {left[2]}"
    await master.start(claim, script(1, text))
    await until(lambda: all(map(_running, left)), "its processes")
    assert psutil.Process(apart).status() == psutil.STATUS_STOPPED
    # the lost offer comes back at once: a master that answered nothing to its next claim would be a silent one
    master.done.add(claim.offer)
    interrupt = Interrupt(incarnation=master.incarnation, session=claim.session, n=1, reason="enough")
    await master.say(interrupt, topology.CONTROL, claim.address)
    gone = await master.wait_for(Gone, lambda gone: gone.session == claim.session)
    assert "has stopped it (SIGSTOP)" in gone.detail + installed.log
    await until(lambda: not any(map(_running, left)), "the end of all that it ran", timeout=120)
    other = await master.offer("gtk")
    again = await master.wait_for(Claim, lambda claim: claim.offer == other.offer)
    await master.grant(again)
    await master.build(again, [script(1, "echo on")])
