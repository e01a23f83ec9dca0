"""Single commands as units of work: masters and agents die while they wait, while they run and when they end."""

from __future__ import annotations

import time

import pytest

from contracts.timing import CLOCK_MARGIN
from tests.faults.conftest import Record
from tests.faults.laboratory import processes, work
from tests.faults.laboratory.lab import Lab
from tests.faults.laboratory.proxy import Proxy
from tests.harness.master import Build, BuildMaster
from tests.harness.waiting import wait_for
from tests.harness.ways import WITHOUT_MASTER

SIZE = 100_000
ONCE = ["tool begin", "tool end"]


def config(lab: Lab, seconds: float) -> str:
    """A build on a worker of the master's own, with one step whose command any agent with `tool` may run."""
    command = lab.command("tool", seconds=seconds, size=SIZE)
    return f"""
c['workers'] = [worker.LocalWorker("local")]
builder("b", c['workers'],
    steps.CapabilityCommand(name="tool", command={command!r}, requires=["tool"], logEnviron=False))
"""


def check(lab: Lab, master: BuildMaster, request: int, runs: list[str]) -> Build:
    """The result is there, the log is whole, and the command ran as often as it should."""
    build = master.finished(request, 90)
    assert build.result == "SUCCESS", master.describe(request)
    assert lab.ran() == runs
    if runs == ONCE:
        lab.check_text(master, build, "tool", SIZE)
    else:  # what the lost run printed stands above, then why it was lost
        printed = "".join(piece.decode() for piece in work.pieces(SIZE))
        assert master.output(build, "tool").endswith(printed)
    lab.wait_nothing_left()
    return build


@pytest.mark.rabbitmq(WITHOUT_MASTER)
def test_master_down_while_it_waits(lab: Lab, record: Record) -> None:
    """The offer waits at the broker; the agent that comes meanwhile asks; the restarted master has it run, once."""
    master = lab.master(config(lab, 2))
    request = master.force("b")
    wait_for(lambda: lab.queues().get("cap.tool") == 1, 20, "the offer waits")
    master.kill()
    agent = lab.agent("a1", capabilities=["tool"])
    wait_for(lambda: "added=['cap.tool']" in agent.log(), 20, "the agent consumes the queue")
    began = time.monotonic()
    master.start()
    check(lab, master, request, ONCE)
    record(
        fault="master down while a command offer waits",
        how="SIGKILL, an agent comes, start",
        seen="the command ran once; its result and its whole log are there (seconds: from the start on)",
        seconds=time.monotonic() - began,
    )


@pytest.mark.parametrize(("fault", "ends_before"), [("runs", False), ("ends", True)], ids=["runs", "ends"])
@pytest.mark.long
def test_master_down_while_it_runs_or_ends(lab: Lab, record: Record, fault: str, ends_before: bool) -> None:
    """The command goes on without a master; its result is there when the master is back."""
    master = lab.master(config(lab, 6 if ends_before else 20))
    lab.agent("a1", capabilities=["tool"])
    request = master.force("b")
    lab.wait_mark("tool", "begin")
    master.kill()
    if ends_before:
        ended = lab.wait_mark("tool", "end").time
        wait_for(lambda: time.time() > ended + 15, 20, "it is set aside (rule 17: after 10 s)")
    began = time.monotonic()
    master.start()
    check(lab, master, request, ONCE)
    record(
        fault=f"master down while a command offer's command {fault}",
        how="SIGKILL, start" + (" 15 s after the command's end" if ends_before else ""),
        seen="the command ran once; its result and its whole log are there (seconds: from the start on)",
        seconds=time.monotonic() - began,
    )


@pytest.mark.long
def test_agent_killed_under_it(lab: Lab, record: Record) -> None:
    """The command runs once more, on another agent."""
    master = lab.master(config(lab, 8))
    first = lab.agent("a1", capabilities=["tool"])
    lab.settle(master)
    request = master.force("b")
    lab.wait_mark("tool", "begin", agent="a1")
    lab.agent("a2", capabilities=["tool"])
    killed = time.time()
    processes.kill_all(lambda: processes.tree(first.pid))
    first.kill_main()
    elsewhere = lab.wait_mark("tool", "begin", agent="a2").time - killed
    check(lab, master, request, ["tool begin", *ONCE])
    record(
        fault="agent killed under a command offer",
        how="SIGKILL to its process tree",
        seen="the command ran once more, on another agent; SUCCESS in the same build",
        seconds=elsewhere,
    )


@pytest.mark.long
@pytest.mark.rabbitmq(WITHOUT_MASTER)
def test_agent_killed_under_it_while_the_master_is_down(lab: Lab, record: Record) -> None:
    """Nobody runs it again before there is a master to ask; then it runs once more."""
    master = lab.master(config(lab, 8))
    first = lab.agent("a1", capabilities=["tool"])
    request = master.force("b")
    lab.wait_mark("tool", "begin", agent="a1")
    lab.agent("a2", capabilities=["tool"])
    master.kill()
    processes.kill_all(lambda: processes.tree(first.pid))
    first.kill_main()
    killed = time.monotonic()
    wait_for(lambda: time.monotonic() > killed + 12, 15, "time in which nobody runs it", every=0.5)
    assert lab.ran() == ["tool begin"]
    began = time.time()
    master.start()
    elsewhere = lab.wait_mark("tool", "begin", agent="a2", timeout=60).time - began
    check(lab, master, request, ["tool begin", *ONCE])
    record(
        fault="agent killed under a command offer, and the master too",
        how="SIGKILL to both; the master is started 12 s later",
        seen="not run again before the master was there to ask, then once more (seconds: from the master's start on)",
        seconds=elsewhere,
    )


@pytest.mark.long
@pytest.mark.timeout(240)
@pytest.mark.rabbitmq(WITHOUT_MASTER)
def test_first_delivery_runs_without_a_master(lab: Lab, record: Record) -> None:
    """An offer delivered for the first time runs at once, although its master died after it had published it."""
    master = lab.master(config(lab, 3))
    with Proxy(lab.node.port) as proxy:
        agent = lab.agent("a1", capabilities=["tool"], url=proxy.url(lab.url))
        wait_for(lambda: "added=['cap.tool']" in agent.log(), 20, "the agent consumes the queue")
        linked = time.monotonic()
        wait_for(lambda: time.monotonic() > linked + CLOCK_MARGIN + 1, CLOCK_MARGIN + 5, "rule 15's margin", every=0.5)
        proxy.freeze()  # the broker delivers into it; the agent sees it only when the master is dead
        request = master.force("b")
        wait_for(lambda: lab.queues().get("cap.tool") == 1, 5, "the offer is published", every=0.01)
        master.kill()
        healed = time.time()
        proxy.heal()
        began = lab.wait_mark("tool", "begin", timeout=15).time - healed
        lab.wait_mark("tool", "end")
        master.start()
        check(lab, master, request, ONCE)
    record(
        fault="master dies between publishing a command offer and its first delivery",
        how="SIGKILL while a proxy holds the delivery back",
        seen="the command ran at once, without a master, and once; its result is there when the master is back",
        seconds=began,
    )
