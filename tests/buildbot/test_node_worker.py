"""A worker in another language serves a real Buildbot column, side by side with a Python agent."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from contracts.testing.child import Child
from tests.acceptance.protocol.npm import NODE_WORKER, installed
from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for
from tests.harness.ways import OTHER_PROGRAMS

pytestmark = pytest.mark.rabbitmq(OTHER_PROGRAMS)

CONFIG = """
c['workers'] = worker.amqp_column("tool", workers=2, requires=["tool"])
for name in ("left", "right"):
    builder(name, c['workers'],
        steps.StringDownload({content!r}, workerdest="sent", name="down"),
        steps.ShellCommand(name="meet", command={meeting!r}),
        steps.ShellCommand(name="talk", command="cat sent; seq 100000; echo err >&2"),
        steps.ShellCommand(name="fail", command="exit 3", flunkOnFailure=False),
        steps.FileUpload(workersrc="sent", masterdest={folder!r} + "/back-" + name, name="up"),
        steps.MakeDirectory(dir="build/d", name="mkdir"),
        steps.RemoveDirectory(dir="build/d", name="rmdir"),
        steps.FileExists(file="build/sent", name="stat"),
    )
"""
CONTENT = "one line\n\u00e4nd \u2603\n" * 30_000


class NodeWorker:
    """`examples/worker-node` as a child process."""

    def __init__(self, folder: Path, url: str) -> None:
        self.output = folder / "node.log"
        folder.mkdir()
        self.child = Child(
            ["node", str(installed(NODE_WORKER) / "worker.js"), "--basedir", str(folder), "--name", "node",
             "--signature", "tool", "--capability", "tool"],
            output=self.output,
            environment={**os.environ, "AMQP_URL": url},
        )  # fmt: skip

    def log(self) -> str:
        return self.output.read_text(errors="replace")


@pytest.fixture
def node_worker(tmp_path: Path, amqp_url: str) -> Iterator[NodeWorker]:
    worker = NodeWorker(tmp_path / "node", amqp_url)
    yield worker
    worker.child.end(signal.SIGTERM, 10)
    print(worker.log())


def meeting(folder: Path) -> str:
    """A command that succeeds only while two of it run at the same time."""
    return (
        f"echo x >> {folder}/met; for i in $(seq 300); do "
        f"[ $(wc -l < {folder}/met) -ge 2 ] && exit 0; sleep .1; done; exit 1"
    )


def rss(pid: int) -> int:
    """Resident bytes of a process and its children."""
    process = psutil.Process(pid)
    return sum(part.memory_info().rss for part in (process, *process.children(recursive=True)))


def test_a_node_worker_and_a_python_agent_share_a_column(
    make_master: Callable[..., BuildMaster],
    make_agent: Callable[..., Agent],
    node_worker: NodeWorker,
    tmp_path: Path,
) -> None:
    """Two builds run at once, one on each; steps, logs, transfers and properties are the same on both."""
    master = make_master(CONFIG.format(content=CONTENT, meeting=meeting(tmp_path), folder=str(tmp_path)))
    agent = make_agent("python", capabilities=["tool"])
    wait_for(lambda: "link up" in node_worker.log(), 30, lambda: f"the Node worker's link:\n{node_worker.log()}")
    wait_for(lambda: "link_up" in agent.log(), 30, lambda: f"the agent's link:\n{agent.log()}")
    idle = rss(node_worker.child.pid), rss(agent.pid)
    requests = {name: master.force(name) for name in ("left", "right")}
    builds = {name: master.finished(request, 90) for name, request in requests.items()}
    for name, build in builds.items():
        assert build.result == "SUCCESS", master.describe(requests[name])
        assert build.step_result("fail") == "FAILURE"
        expected = CONTENT + "".join(f"{n}\n" for n in range(1, 100_001))
        assert master.output(build, "talk") == expected
        assert master.output(build, "talk", streams="e") == "err\n"
        assert (tmp_path / f"back-{name}").read_text() == CONTENT
    assert {master.properties(build)["agent"] for build in builds.values()} == {"node", "python"}
    print(f"resident, idle: Node worker {idle[0] >> 20} MiB, Python agent {idle[1] >> 20} MiB")
    print(f"after a build: {rss(node_worker.child.pid) >> 20} MiB, {rss(agent.pid) >> 20} MiB")


def test_stop_ends_a_command_of_the_node_worker(
    make_master: Callable[..., BuildMaster], node_worker: NodeWorker
) -> None:
    """Buildbot's Stop interrupts it, and the worker is free for the next build."""
    config = """
c['workers'] = worker.amqp_column("tool", workers=1, requires=["tool"])
builder("long", c['workers'], steps.ShellCommand(name="sleep", command="echo on; exec sleep 600"))
builder("short", c['workers'], steps.ShellCommand(name="echo", command="echo hello"))
"""
    master = make_master(config)
    request = master.force("long")
    build = master.step_running(request, "sleep", 60)
    wait_for(lambda: "on\n" in master.output(build, "sleep"), 30, lambda: master.describe(request))
    master.call(f"/builds/{build.id}", "stop", reason="enough")
    assert master.finished(request).result == "CANCELLED", master.describe(request)
    after = master.force("short")
    assert master.finished(after).result == "SUCCESS", master.describe(after)
