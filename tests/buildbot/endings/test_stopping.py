"""Stop of a build, of a waiting build, of an agent and of the master, as Buildbot's users know it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for
from tests.harness.ways import Way

CONFIG = """
c['workers'] = worker.amqp_column("gtk", workers=2, requires=["gtk"])
builder("slow", c['workers'],
    steps.ShellCommand(name="first", command="echo first >> {mark}"),
    steps.ShellCommand(name="sleep", command="echo begin >> {mark}; echo started; sleep {seconds}; echo end >> {mark}"),
    steps.ShellCommand(name="last", command="echo last >> {mark}"),
)
"""


def config(mark: Path, seconds: float) -> str:
    return CONFIG.format(mark=mark, seconds=seconds)


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def test_stop_ends_the_running_command(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """Stop kills the command's process tree; the build is CANCELLED, its last step is not run, the agent is free."""
    mark = tmp_path / "mark"
    master = make_master(config(mark, 300))
    make_agent("a1", capabilities=["gtk"])
    request = master.force("slow")
    build = master.step_running(request, "sleep")
    wait_for(lambda: "begin" in lines(mark), 60, "the command runs")
    master.call(f"/builds/{build.id}", "stop", reason="enough")
    build = master.finished(request, 20)
    assert build.result == "CANCELLED"
    assert build.step_result("sleep") == "CANCELLED"
    assert lines(mark) == ["first", "begin"]
    assert "last" not in build.steps
    # the agent takes the next build: nothing of the first one is in its way
    second = master.force("slow")
    again = master.step_running(second, "sleep")
    master.call(f"/builds/{again.id}", "stop", reason="enough")
    assert master.finished(second, 20).result == "CANCELLED"


def test_stop_takes_a_waiting_builds_offer_back(make_master: Callable[..., BuildMaster], way: Way) -> None:
    """A build that waits says for what and since when; Stop ends it at once, and its offer leaves the queue."""
    master = make_master(config(Path("/dev/null"), 1))
    request = master.force("slow")

    def text() -> str:
        builds = master.builds(request)
        step = builds[-1].steps.get("worker_preparation") if builds else None
        return str(step["state_string"]) if step else ""

    wait_for(lambda: "no agent is alive" in text(), 60, lambda: f"waiting text, is: {text()}")
    assert text().startswith("waits for an agent with gtk since ")
    wait_for(lambda: way.queues().get("cap.gtk") == 1, 60, "the offer is in its queue", every=1)
    master.call(f"/builds/{master.builds(request)[-1].id}", "stop", reason="not needed")
    assert master.finished(request, 10).result == "CANCELLED"
    wait_for(lambda: not way.queues().get("cap.gtk"), 60, "the offer is swept", every=1)


def test_buildbot_stop_and_start_go_on_with_the_command(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """`buildbot stop` and start in mid-command: every command runs once, and the second build has the whole log."""
    mark = tmp_path / "mark"
    master = make_master(config(mark, 12))
    make_agent("a1", capabilities=["gtk"])
    request = master.force("slow")
    master.step_running(request, "sleep")
    wait_for(lambda: "begin" in lines(mark), 60, "the command runs")
    master.stop()
    assert "end" not in lines(mark)
    master.start()
    build = master.finished(request, 60)
    assert build.result == "SUCCESS", master.describe(request)
    assert [b.result for b in master.builds(request)] == ["RETRY", "SUCCESS"]
    assert lines(mark) == ["first", "begin", "end", "last"]
    assert master.output(build, "sleep") == "started\n"


def test_master_killed_in_mid_command(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """kill -9 of the master in mid-command: no command is run again, and the new build's log is complete."""
    mark = tmp_path / "mark"
    master = make_master(config(mark, 10))
    make_agent("a1", capabilities=["gtk"])
    request = master.force("slow")
    master.step_running(request, "sleep")
    wait_for(lambda: "begin" in lines(mark), 60, "the command runs")
    master.kill()
    master.start()
    build = master.finished(request, 60)
    assert build.result == "SUCCESS", master.describe(request)
    assert lines(mark) == ["first", "begin", "end", "last"]
    assert master.output(build, "sleep") == "started\n"


def test_the_last_agent_is_killed(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """An agent that is stopped at once: its build is RETRY and runs on another agent."""
    mark = tmp_path / "mark"
    master = make_master(config(mark, 4))
    first = make_agent("a1", capabilities=["gtk"])
    request = master.force("slow")
    master.step_running(request, "sleep")
    wait_for(lambda: "begin" in lines(mark), 60, "the command runs")
    first.stop_at_once()
    make_agent("a2", capabilities=["gtk"])
    build = master.finished(request, 60)
    assert [b.result for b in master.builds(request)] == ["RETRY", "SUCCESS"]
    assert master.properties(build)["agent"] == "a2"
    assert lines(mark) == ["first", "begin", "first", "begin", "end", "last"]
