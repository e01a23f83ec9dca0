"""Columns of one and two masters on one fleet: routing, reconfiguration, Buildbot's worker page, notices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.laboratory.proxy import Proxy
from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for
from tests.harness.ways import BROKER, SEVERAL_MASTERS

ONE = """
c['workers'] = worker.amqp_column("gtk", workers=1, requires=["gtk"])
builder("gtk", c['workers'], steps.ShellCommand(name="sh", command={command!r}))
"""


def meeting(folder: Path, count: int) -> str:
    """A command that succeeds only while `count` of it run at the same time."""
    return (
        f"echo x >> {folder}/met; for i in $(seq 300); do "
        f"[ $(wc -l < {folder}/met) -ge {count} ] && exit 0; sleep .1; done; exit 1"
    )


def test_five_builds_on_five_agents_at_once(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """Five agents that all qualify for five overlapping queues take one build each, not five the first."""
    config = f"""
columns = [worker.amqp_column(f"c{{n}}", workers=1, requires=["gtk", f"tool{{n}}"]) for n in range(5)]
for n, column in enumerate(columns):
    c['workers'] += column
    builder(f"c{{n}}", column, steps.ShellCommand(name="meet", command={meeting(tmp_path, 5)!r}))
"""
    master = make_master(config)
    requests = [master.force(f"c{n}") for n in range(5)]
    for request in requests:
        master.started(request)
    for n in range(5):
        make_agent(f"a{n}", capabilities=["gtk", *(f"tool{k}" for k in range(5))])
    builds = [master.finished(request, 90) for request in requests]
    assert [build.result for build in builds] == ["SUCCESS"] * 5, master.describe(requests[0])
    assert {master.properties(build)["agent"] for build in builds} == {f"a{n}" for n in range(5)}


@pytest.mark.rabbitmq(SEVERAL_MASTERS)
def test_two_masters_share_one_agent(make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent]) -> None:
    """An agent serves two masters with equal builder names; their build directories differ."""
    one = make_master(ONE.format(command="pwd"), name="m1")
    two = make_master(ONE.format(command="pwd"), name="m2")
    make_agent("a1", capabilities=["gtk"])
    requests = [(master, master.force("gtk")) for master in (one, two)]
    folders = set()
    for master, request in requests:
        build = master.finished(request)
        assert build.result == "SUCCESS", master.describe(request)
        folders.add(master.output(build, "sh"))
    assert len(folders) == 2


def test_reconfig_moves_waiting_builds_and_leaves_running_ones(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """Changed requirements move a waiting build to its new queue; a new column is served within seconds."""
    running = f"echo go; while [ ! -e {tmp_path}/free ]; do sleep .1; done"
    template = """
c['workers'] = worker.amqp_column("run", workers=1, requires=["gtk"])
waits = worker.amqp_column("wait", workers=1, requires=[{requires!r}])
c['workers'] += waits
builder("run", ["run-1"], steps.ShellCommand(name="sh", command={command!r}))
builder("wait", waits, steps.ShellCommand(name="sh", command=["true"]))
{more}
"""
    master = make_master(template.format(requires="wx", command=running, more=""))
    make_agent("a1", capabilities=["gtk"], slots=3)
    runs = master.force("run")
    master.step_running(runs, "sh")
    waits = master.force("wait")
    wait_for(
        lambda: "none of the live agents qualifies" in master.started(waits).row["state_string"],
        20,
        lambda: master.describe(waits),
    )
    assert "a1 lacks wx" in master.started(waits).row["state_string"], master.describe(waits)
    more = """
new = worker.amqp_column("new", workers=1, requires=["gtk>=3|gtk"])
c['workers'] += new
builder("new", new, steps.ShellCommand(name="sh", command=["true"]))
"""
    master.reconfigure(template.format(requires="gtk", command=running, more=more))
    assert master.finished(waits, 20).result == "SUCCESS", master.describe(waits)
    assert master.finished(master.force("new"), 20).result == "SUCCESS"
    assert master.builds(runs)[-1].result == "RUNNING"
    (tmp_path / "free").touch()
    assert master.finished(runs, 20).result == "SUCCESS", master.describe(runs)
    assert len(master.builds(runs)) == 1


def test_removed_slot_hands_its_build_on(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """A reconfig that removes the slot of a running build: another slot takes the session over, nothing runs twice."""
    template = """
c['workers'] = [worker.AMQPLatentWorker(name, requires=["gtk"]) for name in {names}]
builder("b", c['workers'], steps.ShellCommand(name="sh", command={command!r}))
"""
    command = f"echo x >> {tmp_path}/ran; while [ ! -e {tmp_path}/free ]; do sleep .1; done; echo end"
    master = make_master(template.format(names=["one"], command=command))
    make_agent("a1", capabilities=["gtk"])
    request = master.force("b")
    master.step_running(request, "sh")
    wait_for((tmp_path / "ran").exists, 60, "the command runs")
    master.reconfigure(template.format(names=["two"], command=command))
    wait_for(lambda: len(master.builds(request)) == 2, 60, lambda: master.describe(request))
    (tmp_path / "free").touch()
    build = master.finished(request, 30)
    assert build.result == "SUCCESS", master.describe(request)
    assert (tmp_path / "ran").read_text() == "x\n"
    assert master.output(build, "sh") == "end\n"


def test_worker_page_pause_graceful_kill(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """Pause and graceful stop keep new builds away until unpaused; kill makes the running build run again."""
    command = f"echo x >> {tmp_path}/ran; while [ ! -e {tmp_path}/free ]; do sleep .1; done"
    master = make_master(ONE.format(command=command))
    make_agent("a1", capabilities=["gtk"])
    worker = master.worker("gtk-1")["workerid"]
    request = master.force("gtk")
    master.step_running(request, "sh")
    wait_for((tmp_path / "ran").exists, 60, "the command runs")
    master.call(f"/workers/{worker}", "kill")
    wait_for(lambda: len(master.builds(request)) == 2, 60, lambda: master.describe(request))
    assert master.builds(request)[0].result == "RETRY"
    master.call(f"/workers/{worker}", "stop")
    wait_for(lambda: master.worker("gtk-1")["graceful"], 60, "graceful")
    (tmp_path / "free").touch()
    assert master.finished(request, 20).result == "SUCCESS", master.describe(request)
    second = master.force("gtk")
    master.call(f"/workers/{worker}", "pause", reason="test")
    wait_for(lambda: master.worker("gtk-1")["paused"], 60, "paused")
    assert master.builds(second) == []
    master.call(f"/workers/{worker}", "unpause")
    assert master.finished(second, 20).result == "SUCCESS", master.describe(second)
    assert not master.worker("gtk-1")["graceful"]


def test_graceful_stop_of_a_waiting_build_outlasts_its_agent(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent]
) -> None:
    """Asked while the build still waits: the build gets its agent, the slot takes no other until it is unpaused."""
    master = make_master(ONE.format(command="true"))
    worker = master.worker("gtk-1")["workerid"]
    first = master.force("gtk")
    master.started(first)
    master.call(f"/workers/{worker}", "stop")
    wait_for(lambda: master.worker("gtk-1")["graceful"], 60, "graceful")
    make_agent("a1", capabilities=["gtk"])
    assert master.finished(first).result == "SUCCESS", master.describe(first)
    assert master.worker("gtk-1")["graceful"]
    second = master.force("gtk")
    assert master.builds(second) == []
    master.call(f"/workers/{worker}", "unpause")
    assert master.finished(second, 20).result == "SUCCESS", master.describe(second)
    assert not master.worker("gtk-1")["graceful"]


def test_warns_when_nobody_qualifies(make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent]) -> None:
    """After notify_after_minutes without a qualified agent the log says so, and whom it lacks."""
    master = make_master(
        "c['workers'] = [worker.AMQPLatentWorker('w', requires=['gtk>=3'], notify_after_minutes=0.02, "
        "notify_on_missing=['me@example.org'])]\n"
        "builder('b', c['workers'], steps.ShellCommand(command=['true']))\n"
    )
    make_agent("old", capabilities=["gtk=2.24"])
    request = master.force("b")
    wait_for(lambda: "event=amqp.no_agent_qualifies" in master.log(), 60, lambda: master.describe(request))
    wait_for(
        lambda: "old has gtk 2.24, needs gtk>=3" in master.started(request).row["state_string"],
        20,
        lambda: master.describe(request),
    )


@pytest.mark.rabbitmq(BROKER)
def test_master_starts_and_stops_without_a_broker(
    proxy: Proxy, amqp_url: str, make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent]
) -> None:
    """With the broker down the master starts, a build waits and says why, and stops; when it is back the build runs."""
    proxy.cut()
    master = make_master(ONE.format(command="true"), url=proxy.url(amqp_url), start=False)
    master.start()
    request = master.force("gtk")
    wait_for(
        lambda: "out of reach" in master.started(request).row["state_string"], 20, lambda: master.describe(request)
    )
    assert (master.folder / "state.sqlite-wal").exists(), "AMQPBroker holds the database, whatever its link is"
    master.stop()
    assert "BuildMaster is stopped" in master.log()
    master.start()
    proxy.heal()
    make_agent("late", capabilities=["gtk"])
    assert master.finished(request, 60).result == "SUCCESS", master.describe(request)
