"""What a build can know of its worker, and limit on its machine, as with a worker of Buildbot's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for

LOCKED = """
lock = util.WorkerLock("database", maxCount=1)
c['workers'] = worker.amqp_column("gtk", workers=2, requires=["gtk"])
for name in ("one", "two"):
    builder(name, c['workers'], steps.ShellCommand(name="sh", command={command!r}),
        locks=[lock.access("counting")])
"""
ALONE = "mkdir {folder}/taken && sleep 3 && rmdir {folder}/taken"

TOLD = """
c['workers'] = worker.amqp_column("gtk", workers=1, requires=["gtk"])
builder("b", c['workers'], steps.ShellCommand(name="sh", command=["printf", "%s\\n",
    util.Interpolate("%(worker:os_id)s|%(worker:rack)s|%(worker:admin)s|%(worker:host)s")]))
"""


def test_a_worker_lock_limits_what_runs_on_an_agent(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """Two builders of which each runs alone, on an agent with room for both."""
    master = make_master(LOCKED.format(command=ALONE.format(folder=tmp_path)))
    make_agent("a1", capabilities=["gtk"], slots=2)
    requests = [master.force(name) for name in ("one", "two")]
    builds = [master.finished(request, 120) for request in requests]
    assert [build.result for build in builds] == ["SUCCESS"] * 2, [master.describe(request) for request in requests]


def test_facts_of_the_machine_and_the_agents_log(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """os-release and the files of `info/` can be interpolated; the agent's log says what it did, field by field."""
    basedir = tmp_path / "base"
    (basedir / "info").mkdir(parents=True)
    for name, text in {"rack": "17", "admin": "Ada", "host": "never"}.items():
        (basedir / "info" / name).write_text(text)
    master = make_master(TOLD)
    options = ["--basedir", str(basedir), "--host", "under the desk", "--log-format", "json"]
    agent = make_agent("a1", capabilities=["gtk"], options=options)
    request = master.force("b")
    build = master.finished(request)
    assert build.result == "SUCCESS", master.describe(request)
    os_id, *rest = master.output(build, "sh").strip().split("|")
    assert os_id in Path("/etc/os-release").read_text()
    assert rest == ["17", "Ada", "under the desk"]
    wait_for(lambda: "build_ended" in agent.log(), 60, "the agent to say that the build has ended")
    lines = [json.loads(line) for line in agent.log().splitlines() if line.startswith("{")]
    said = {line["event"]: line for line in lines}
    assert [line["event"] for line in lines if line.get("builder")] == [
        "build",
        "command",
        "command_ended",
        "build_ended",
    ]
    for event in ("build", "command", "command_ended", "build_ended"):
        assert (said[event]["builder"], said[event]["build_number"]) == ("b", build.row["number"]), said[event]
    assert (said["command"]["step"], said["command_ended"]["step"]) == ("sh", "sh")
    assert said["command_ended"]["exit_code"] == 0
    assert 0 <= said["command_ended"]["seconds"] <= said["build_ended"]["seconds"]
