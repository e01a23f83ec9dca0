"""A Stop whose agent then dies, and builders that leave and come back: real master, broker and agents.

All sequences of both are in `tests/buildbot/inside`.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.faults.laboratory import processes
from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for
from tests.harness.ways import Way

COLUMN = """
c['workers'] = worker.amqp_column("gtk", workers=1, requires=["gtk"])
builder({builder!r}, c['workers'], steps.ShellCommand(name="sh", command={command!r}))
"""


def column(builder: str = "b", command: str = "true") -> str:
    return COLUMN.format(builder=builder, command=command)


def test_a_stop_whose_agent_then_dies_is_cancelled(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent]
) -> None:
    """Not RETRY: what somebody stopped does not run again."""
    master = make_master(column(command="echo go; sleep 300"))
    agent = make_agent("a1", capabilities=["gtk"])
    request = master.force("b")
    build = master.step_running(request, "sh")
    wait_for(lambda: "go" in master.output(build, "sh"), 60, "the command runs")
    keepers = [it for it in processes.tree(agent.pid)[1:] if "keeper" in " ".join(it.cmdline())]
    processes.freeze(lambda: keepers)
    master.call(f"/builds/{build.id}", "stop", reason="enough")
    wait_for(lambda: "stopping build: enough" in master.log(), 60, "Buildbot stops it")
    processes.kill_all(lambda: keepers)
    assert master.finished(request).result == "CANCELLED", master.describe(request)
    assert len(master.builds(request)) == 1, master.describe(request)
    assert "(enough)" in master.builds(request)[0].row["state_string"]


def test_a_builder_that_leaves_and_comes_back(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], way: Way
) -> None:
    """While its build waits the offer is withdrawn and the request is free; back again it has its slot, and runs."""
    master = make_master(column())
    request = master.force("b")
    wait_for(lambda: "waits for an agent" in master.started(request).row["state_string"], 60, "it waits")
    master.reconfigure(column("other"))
    wait_for(
        lambda: not master.get(f"/buildrequests/{request}")["buildrequests"][0]["claimed"],
        60,
        lambda: f"the request is free: {master.describe(request)}",
    )
    assert [build.result for build in master.builds(request)] == ["RETRY"]
    wait_for(lambda: not any(way.queues().values()), 60, lambda: f"no offer is left: {way.queues()}", every=1)
    make_agent("a1", capabilities=["gtk"])
    assert master.finished(master.force("other")).result == "SUCCESS"
    master.reconfigure(column())
    assert master.finished(request).result == "SUCCESS", master.describe(request)
    assert [build.result for build in master.builds(request)] == ["RETRY", "SUCCESS"]
