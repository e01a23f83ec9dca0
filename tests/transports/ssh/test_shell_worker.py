"""A worker in POSIX sh serves a real column over a real ssh."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contracts.testing.child import Child
from tests.harness.environment import program_environment
from tests.harness.ssh import HOST
from tests.harness.tree import ROOT
from tests.harness.waiting import wait_for
from tests.transports.ssh.conftest import SSHFleet

WORKER = ROOT / "examples/worker-sh/worker.sh"
CONFIG = """
c['workers'] = worker.amqp_column("tool", workers=1, requires=["tool"])
builder("b", c['workers'],
    steps.StringDownload({content!r}, workerdest="sent", name="down"),
    steps.ShellCommand(name="talk", command="cat sent; seq 20000; echo err >&2"),
    steps.ShellCommand(name="words",
        command=["printf", "%s|", "a b", "$HOME", "it's", util.Property("buildername")]),
    steps.ShellCommand(name="fail", command="exit 3", flunkOnFailure=False),
    steps.FileUpload(workersrc="sent", masterdest={folder!r} + "/back", name="up"),
    steps.MakeDirectory(dir="build/d", name="mkdir"),
    steps.CopyDirectory(src="build/d", dest="build/e", name="cpdir"),
    steps.RemoveDirectory(dir="build/d", name="rmdir"),
    steps.FileExists(file="build/sent", name="stat"),
    steps.ShellCommand(name="wait",
        command="echo ran >>{folder}/ran; while [ ! -e {folder}/stop ]; do sleep 0.1; done"),
)
"""
CONTENT = "one line\n\u00e4nd \u2603 'quoted'\n" * 10_000


@pytest.fixture(params=["dash", "busybox sh"])
def start_worker(request: pytest.FixtureRequest, fleet: SSHFleet) -> Iterator[Callable[[], Child]]:
    """Comes by the system's ssh, as the README says."""
    started: list[Child] = []

    def start() -> Child:
        client = fleet.enroll("board")
        command = [*request.param.split(), str(WORKER), "board", str(fleet.folder / "board"), "cap.tool", "tool=1.0",
                   "ssh", "-T", "-o", "BatchMode=yes", HOST]  # fmt: skip
        environment = {**program_environment(), **client.environment}
        started.append(Child(command, output=fleet.folder / "board.log", environment=environment))
        return started[-1]

    yield start
    for child in started:
        child.end(signal.SIGTERM, 10)


def test_a_worker_in_sh_serves_a_column(fleet: SSHFleet, start_worker: Callable[[], Child], tmp_path: Path) -> None:
    """Its ssh is cut in the middle of the last command; it is drained after the build."""
    master = fleet.make_master(CONFIG.format(content=CONTENT, folder=str(tmp_path)))
    worker = start_worker()
    request = master.force("b")
    wait_for((tmp_path / "ran").exists, 120, lambda: master.describe(request) + _log(fleet))
    assert fleet.server.cut()
    (tmp_path / "stop").touch()
    build = master.finished(request, timeout=120)
    assert build.result == "SUCCESS", master.describe(request) + _log(fleet)
    assert len(master.builds(request)) == 1
    talk = master.output(build, "talk")
    assert talk.startswith(CONTENT)
    assert talk.endswith("\n20000\n")
    assert master.output(build, "talk", streams="e") == "err\n"
    assert master.output(build, "words").startswith("a b|$HOME|it's|b|")
    assert build.step_result("fail") == "FAILURE"
    assert (tmp_path / "back").read_text() == CONTENT
    assert (tmp_path / "ran").read_text() == "ran\n"
    assert worker.end(signal.SIGTERM, 30) == 0


def _log(fleet: SSHFleet) -> str:
    path = fleet.folder / "board.log"
    return path.read_text(errors="replace") if path.exists() else ""
