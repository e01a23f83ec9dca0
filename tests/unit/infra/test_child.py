"""A child process never outlives its parent."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from contracts.testing.child import Child

PARENT = """
import sys
from pathlib import Path
from contracts.testing.child import Child
child = Child(["sh", "-c", "sleep 1000 & echo $!; wait"], output=Path(sys.argv[1]))
print(child.pid, flush=True)
sys.stdin.read()
"""


def gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def wait_for_text(path: Path) -> str:
    deadline = time.monotonic() + 20
    while not (text := path.read_text()):
        assert time.monotonic() < deadline, f"nothing was written to {path}"
        time.sleep(0.01)
    return text


def test_the_whole_group_ends_when_the_parent_is_killed(tmp_path: Path) -> None:
    output = tmp_path / "output"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(output)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout
    child, grandchild = int(parent.stdout.readline()), int(wait_for_text(output))
    assert not gone(child)
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    deadline = time.monotonic() + 20
    while not (gone(child) and gone(grandchild)):
        assert time.monotonic() < deadline, "processes outlived their parent"
        time.sleep(0.01)


def test_end_signals_waits_and_tells_the_status(tmp_path: Path) -> None:
    child = Child(["sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done"], output=tmp_path / "log")
    wait_for_text(tmp_path / "log")
    assert child.running
    assert child.end() == 7
    assert not child.running


def test_a_child_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    child = Child(["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.01; done"], output=tmp_path / "log")
    wait_for_text(tmp_path / "log")
    assert child.end(timeout=0.1) == -signal.SIGKILL


def test_a_command_that_cannot_be_run_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Child([str(tmp_path / "none")], output=tmp_path / "log")
