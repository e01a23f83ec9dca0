"""A build step's command as a unit of work of its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pika
import pytest

from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for
from tests.harness.ways import BROKER, Way

CONFIG = """
c['workers'] = [worker.LocalWorker("local")]
builder("lint", c['workers'],
    steps.CapabilityCommand(name="lint", command="echo from $AGENT_TEST; sleep {seconds}; echo done; exit {rc}",
        env={{"AGENT_TEST": "an agent"}}, requires=["gtk"]))
"""
TWO = """
c['workers'] = [worker.LocalWorker("local")]
for name in ("one", "two"):
    builder(name, c['workers'], steps.CapabilityCommand(name="lint", command="true", requires=["gtk"]))
"""


def test_runs_on_an_agent_whatever_worker_the_build_has(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent]
) -> None:
    """A build on a local worker runs a step's command on an agent; log and result are the step's."""
    master = make_master(CONFIG.format(seconds=0, rc=3))
    make_agent("a1", capabilities=["gtk"])
    build = master.finished(master.force("lint"), 40)
    assert build.step_result("lint") == "FAILURE", master.describe(1)
    assert master.output(build, "lint") == "from an agent\ndone\n"
    assert "program finished with exit code 3" in master.output(build, "lint", streams="h")
    assert master.properties(build)["agent:lint"] == "a1"


def test_waits_and_says_for_what_and_stops(make_master: Callable[..., BuildMaster]) -> None:
    """While no agent is there the step says so; Stop ends it at once."""
    master = make_master(CONFIG.format(seconds=0, rc=0))
    request = master.force("lint")
    build = master.step_running(request, "lint")
    wait_for(
        lambda: "no agent is alive" in master.build(build.id).steps["lint"]["state_string"],
        20,
        lambda: master.describe(request),
    )
    master.call(f"/builds/{build.id}", "stop", reason="enough")
    assert master.finished(request, 15).result == "CANCELLED"


def test_stopped_commands_leave_no_offer(make_master: Callable[..., BuildMaster], way: Way) -> None:
    """Two wait, and no agent comes: the end of the last one clears the queue."""
    master = make_master(TWO)
    requests = [master.force(name) for name in ("one", "two")]
    builds = [master.step_running(request, "lint") for request in requests]
    wait_for(lambda: way.queues().get("cap.gtk") == 2, 60, "two offers", every=1)
    for build, request in zip(builds, requests, strict=True):
        master.call(f"/builds/{build.id}", "stop", reason="enough")
        assert master.finished(request, 15).result == "CANCELLED"
    wait_for(lambda: not way.queues().get("cap.gtk"), 60, "an empty queue", every=1)


@pytest.mark.rabbitmq(BROKER)
def test_a_stopped_commands_offer_goes_and_one_that_waits_is_left_alone(
    make_master: Callable[..., BuildMaster],
) -> None:
    """Two wait: the one that goes on waiting is not touched. The last one's end clears the queue without an agent."""
    master = make_master(TWO)
    requests = [master.force(name) for name in ("one", "two")]
    builds = [master.step_running(request, "lint") for request in requests]
    with closing(pika.BlockingConnection(pika.URLParameters(master.url))) as broker:
        channel = broker.channel()

        def waiting() -> int:
            return int(channel.queue_declare("cap.gtk", passive=True).method.message_count)

        wait_for(lambda: waiting() == 2, 30, "two offers")
        master.call(f"/builds/{builds[0].id}", "stop", reason="enough")
        assert master.finished(requests[0], 15).result == "CANCELLED"
        got = [channel.basic_get("cap.gtk") for _ in range(2)]
        assert not any(method.redelivered for method, _, _ in got), "it was out of agents' reach"
        channel.basic_nack(0, multiple=True, requeue=True)
        master.call(f"/builds/{builds[1].id}", "stop", reason="enough")
        assert master.finished(requests[1], 15).result == "CANCELLED"
        wait_for(lambda: waiting() == 0, 10, "an empty queue")


def test_a_folder_of_the_builds_own_worker_is_told(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent]
) -> None:
    """What a function of the configuration made of it is a failure that says what is wrong, and nothing is run."""
    master = make_master("""
c['workers'] = [worker.LocalWorker("local")]
@util.renderer
def there(props):
    return ["touch", props.getProperty("builddir") + "/made"]
builder("b", c['workers'], steps.CapabilityCommand(name="there", command=there, requires=["gtk"]),
    steps.CapabilityCommand(name="here", command=["true"], requires=["gtk"], alwaysRun=True))
""")
    make_agent("a1", capabilities=["gtk"])
    build = master.finished(master.force("b"))
    assert build.step_result("there") == "FAILURE", master.describe(1)
    assert "paths relative to it" in master.step_log(build, "there", "wrong folder")
    assert build.step_result("here") == "SUCCESS"


def test_a_masters_start_declares_no_queue_that_nobody_asked_for(
    make_master: Callable[..., BuildMaster], way: Way
) -> None:
    """While its workers are configured one by one none of them stands for "any agent"."""
    master = make_master("""
c['workers'] = [w for n in range(40) for w in worker.amqp_column(f"gtk{n}", workers=2, requires=["gtk"])]
builder("b", c['workers'], steps.ShellCommand(command=["true"]))
""")
    wait_for(lambda: "cap.gtk" in way.queues(), 30, "the queue of the column", every=1)
    assert "cap.any" not in way.queues()
    assert "cap.any" not in master.log()
    assert "signature=any" not in master.log()


def test_stop_ends_the_command_on_its_agent(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent]
) -> None:
    """Stop interrupts the command where it runs."""
    master = make_master(CONFIG.format(seconds=300, rc=0))
    make_agent("a1", capabilities=["gtk"])
    request = master.force("lint")
    build = master.step_running(request, "lint")
    wait_for(lambda: "from an agent" in master.step_log(master.build(build.id), "lint"), 60, "output")
    master.call(f"/builds/{build.id}", "stop", reason="enough")
    build = master.finished(request, 20)
    assert build.result == "CANCELLED"
    assert "done" not in master.output(build, "lint")


def test_lost_agent_runs_it_again_elsewhere(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent]
) -> None:
    """An agent stopped at once under a command: the command runs again on another one, in the same step."""
    master = make_master(CONFIG.format(seconds=6, rc=0))
    first = make_agent("a1", capabilities=["gtk"])
    request = master.force("lint")
    build = master.step_running(request, "lint")
    wait_for(lambda: "from an agent" in master.step_log(master.build(build.id), "lint"), 60, "output")
    first.stop_at_once()
    make_agent("a2", capabilities=["gtk"])
    build = master.finished(request, 60)
    assert len(master.builds(request)) == 1
    assert build.result == "SUCCESS", master.describe(request)
    assert master.output(build, "lint") == "from an agent\nfrom an agent\ndone\n"
    assert "runs again elsewhere" in master.output(build, "lint", streams="h")
    assert master.properties(build)["agent:lint"] == "a2"


def test_master_restart_keeps_the_command(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """The master is killed while an agent runs a step's command: it runs once, and its result is there afterwards."""
    mark = tmp_path / "mark"
    text = f"""
c['workers'] = worker.amqp_column("any", workers=1)
builder("lint", c['workers'],
    steps.CapabilityCommand(name="lint", command="echo x >> {mark}; echo out; sleep 8; echo end", requires=["gtk"]))
"""
    master = make_master(text)
    make_agent("a1", capabilities=["gtk"], slots=2)
    request = master.force("lint")
    master.step_running(request, "lint")
    wait_for(mark.exists, 60, lambda: f"the command runs {master.describe(request)}")
    master.kill()
    master.start()
    build = master.finished(request, 60)
    assert build.result == "SUCCESS", master.describe(request)
    assert mark.read_text() == "x\n"
    assert master.output(build, "lint") == "out\nend\n"


@pytest.mark.long
def test_eight_steps_of_triggered_builds_use_all_agents(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """Eight triggered builds with such a step each run on the eight free slots of four agents at the same time."""
    text = f"""
names = [f"local{{n}}" for n in range(9)]
c['workers'] = [worker.LocalWorker(name) for name in names]
# each waits until eight of them run: it ends only when they run at the same time
command = "echo x >> {tmp_path}/started; for i in $(seq 400); do "
command += "[ $(wc -l < {tmp_path}/started) -ge 8 ] && exit 0; sleep .1; done; exit 1"
for n in range(8):
    builder(f"part{{n}}", names, steps.CapabilityCommand(name="part", command=command, requires=["gtk"]))
c['schedulers'] = [schedulers.Triggerable(name="parts", builderNames=[f"part{{n}}" for n in range(8)])]
builder("all", names, steps.Trigger(name="trigger", schedulerNames=["parts"], waitForFinish=True))
"""
    master = make_master(text)
    for number in range(4):
        make_agent(f"a{number}", capabilities=["gtk"], slots=2)
    request = master.force("all")
    assert master.finished(request, 90).result == "SUCCESS", master.describe(request)
