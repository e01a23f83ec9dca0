"""A worker in POSIX sh serves a real column over a real ssh."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from contracts.testing.child import Child
from master_bridge.running import AgentResult, Fleet
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


@pytest.fixture(params=["dash", pytest.param("busybox sh", marks=pytest.mark.long)])
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


@pytest.mark.long  # with `make test` the conformance kit's operators do
@pytest.mark.parametrize("start_worker", ["dash", "busybox sh"], indirect=True)
def test_operators_run_commands_and_move_files_on_a_worker_in_sh(
    fleet: SSHFleet, start_worker: Callable[[], Child], tmp_path: Path
) -> None:
    """Beside its build, with names and words as odd as they come."""
    master = fleet.make_master(CONFIG.format(content="x", folder=str(tmp_path)))
    start_worker()
    request = master.force("b")
    wait_for((tmp_path / "ran").exists, 120, lambda: master.describe(request) + _log(fleet))

    operators = Fleet(master_dir=fleet.master_folder)

    def does(method: str, *arguments: Any, fails: str = "", **more: Any) -> AgentResult:
        (result,) = getattr(operators, method)(*arguments, on=["board"], **more)
        if fails:
            assert fails in (result.error or ""), (arguments, result, _log(fleet))
        else:
            assert result.is_good or method == "run", (arguments, result, _log(fleet))
        return cast(AgentResult, result)

    ran = does("run", ["sh", "-c", 'echo "$A|$1"; pwd; exit 3', "sh", "it's \u00e4"], env={"A": "b c"})
    there = fleet.folder / "board" / "builds"
    assert (ran.exit_status, ran.stdout.decode()) == (3, f"b c|it's \u00e4\n{there}\n")
    odd = "ein \u00e4 'name' -rf*\n"
    local, came = tmp_path / odd, tmp_path / "came"
    local.write_bytes(bytes(range(256)) * 1000)
    local.chmod(0o750)
    (tmp_path / "empty").touch()
    assert does("run", "mkdir into").exit_status == 0
    does("put", local, "into/")
    does("put", local, "into/file", mode=0o640)
    does("put", local, "into/file", fails="is there already")
    does("put", tmp_path / "empty", "empty")
    does("copy", "into", "folder")
    does("rename", "into/file", "renamed")
    does("rename", "into/file", "renamed", fails="there is no such file")
    assert does("ls", "fol*/*").names == tuple(f"{there}/folder/{name}" for name in (odd, "file"))
    does("get", "folder", came)
    does("put", came, "again")
    assert (there / "again" / odd).read_bytes() == local.read_bytes()
    assert (there / "again" / odd).stat().st_mode & 0o777 == 0o750
    does("get", "empty", tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == b""
    does("rm", "folder", fails="give recursive")
    does("rm", "folder", "again", "renamed", recursive=True)
    assert {*does("ls").names} >= {"into", "empty", ".operators"}
    assert not (there / "folder").exists()
    (tmp_path / "stop").touch()
    build = master.finished(request, timeout=120)
    assert build.result == "SUCCESS", master.describe(request) + _log(fleet)


def _log(fleet: SSHFleet) -> str:
    path = fleet.folder / "board.log"
    return path.read_text(errors="replace") if path.exists() else ""
