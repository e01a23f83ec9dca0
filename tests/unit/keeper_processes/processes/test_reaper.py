"""What the agent's main process does with processes that a keeper no longer looks after."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil

from worker_agent.keeper.processes.belonging import MARK
from worker_agent.keeper.processes.reaper import identity, kill_session, kill_tree

# A subreaper in a process of its own: becoming one would change the test runner. Prints the orphan's pid, waits for it
# to be a zombie of its own, collects it, and says whether it is gone.
SUBREAPER = """
import os, subprocess, sys, time
import psutil
from worker_agent.keeper.processes.reaper import become_subreaper, reap_strays

assert become_subreaper()
known = subprocess.Popen(["true"])
out = subprocess.run(["sh", "-c", "setsid sleep 0.2 >/dev/null & echo $!"], capture_output=True, text=True).stdout
orphan = int(out)
deadline = time.monotonic() + 10
while psutil.Process(orphan).status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
    time.sleep(0.01)
assert psutil.Process(orphan).ppid() == os.getpid()
reap_strays(frozenset({known.pid}))
print(psutil.pid_exists(orphan), known.wait())
"""


def wait_for(pid: int) -> None:
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, f"{pid} is still alive"
        time.sleep(0.01)


def test_strays_are_collected_and_own_children_left_to_their_waiters() -> None:
    """An adopted zombie goes; the exit status of a child that somebody waits for is not taken away."""
    found = subprocess.run([sys.executable, "-c", SUBREAPER], capture_output=True, text=True, timeout=60)

    assert found.stdout.split() == ["False", "0"], found.stderr


def test_a_tree_is_killed_from_its_root_down() -> None:
    """Also children that ignore what can be ignored."""
    root = subprocess.Popen(
        ["sh", "-c", "trap '' TERM; (setsid sleep 300) & sleep 300 & echo ready; wait"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert root.stdout is not None
    root.stdout.readline()
    children = [process.pid for process in psutil.Process(root.pid).children(recursive=True)]
    assert len(children) >= 2

    assert kill_tree(root.pid) == []

    for pid in children:
        wait_for(pid)
    root.communicate()
    assert root.returncode == -signal.SIGKILL


def test_processes_of_one_session_are_found_by_their_mark() -> None:
    """Those of a session whose name begins alike are not."""
    ours = subprocess.Popen(["sleep", "300"], env={**os.environ, MARK: "session-x1/7"}, start_new_session=True)
    other = subprocess.Popen(["sleep", "300"], env={**os.environ, MARK: "session-x11/7"}, start_new_session=True)
    try:
        assert kill_session("session-x1") == []
        assert ours.wait(10) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_an_identity_outlives_no_process() -> None:
    """The number of a process that is gone, even if not yet collected, stands for none."""
    process = subprocess.Popen(["sleep", "300"])
    who = identity(process.pid)
    assert who is not None
    assert identity(process.pid) == who
    assert identity(os.getpid()) != who
    process.kill()
    wait_for(process.pid)

    assert identity(process.pid) is None
    process.wait()
