"""Preferences: an agent that offers more is waited for, for a time; and what the master tells Prometheus of it."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Callable

import pytest

from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for
from tests.harness.ways import Way

CONFIG = """
c['workers'] = worker.amqp_column("gtk", workers=1, requires=["gtk"], prefers=["warm"], prefer_seconds=8)
builder("gtk", c['workers'], steps.ShellCommand(name="sh", command=["true"]))
"""


def test_a_preferred_agent_first_any_after_the_limit(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent]
) -> None:
    """With both idle the preferred one gets every build; without it the other does, once the limit is over."""
    master = make_master(CONFIG, broker="metrics_port=0")
    warm = make_agent("warm", capabilities=["gtk", "warm"])
    plain = make_agent("plain", capabilities=["gtk"])
    wait_for(lambda: "cap.gtk+warm" in warm.log() and "cap.gtk" in plain.log(), 30, "both agents have their queues")
    for _ in range(2):
        request = master.force("gtk")
        build = master.finished(request)
        assert build.result == "SUCCESS", master.describe(request)
        assert master.properties(build)["agent"] == "warm"
    warm.stop()
    request = master.force("gtk")
    build = master.finished(request)
    assert master.properties(build)["agent"] == "plain"
    free = 'buildbot_amqp_column_slots{column="gtk",state="free"} 1.0'
    wait_for(lambda: free in metrics(master), 30, lambda: f"the agent has told that it is free:\n{metrics(master)}")
    text = metrics(master)
    assert "buildbot_amqp_queue_wait_seconds_count 3.0" in text
    for shown in (
        'column_utilisation_ratio{column="gtk"} 0.0',
        'column_demand_slots{column="gtk",state="waiting"} 0.0',
    ):
        assert f"buildbot_amqp_{shown}" in text
    assert 'buildbot_amqp_agent_slots{account="guest",agent="plain",state="free"} 1.0' in text
    waited = re.search(r"buildbot_amqp_queue_wait_seconds_sum (\S+)", text)
    assert waited is not None
    assert float(waited[1]) >= 8


STEP = """
c['workers'] = [worker.LocalWorker("local")]
builder("lint", c['workers'], steps.CapabilityCommand(name="lint", command=["echo", "once"], requires=["gtk"],
    prefers=["warm"], prefer_seconds={seconds}))
"""


@pytest.mark.long
def test_a_step_goes_to_a_preferred_agent_first_and_to_any_after_the_limit(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], way: Way
) -> None:
    """As for a build; it says from when on any will do, runs once, and leaves no offer behind."""
    master = make_master(STEP.format(seconds=6))
    warm = make_agent("warm", capabilities=["gtk", "warm"])
    plain = make_agent("plain", capabilities=["gtk"])
    wait_for(lambda: "cap.gtk+warm" in warm.log() and "cap.gtk" in plain.log(), 30, "both agents have their queues")
    build = master.finished(master.force("lint"))
    assert master.properties(build)["agent:lint"] == "warm", master.describe(1)
    warm.stop()
    request = master.force("lint")
    started = master.step_running(request, "lint")
    wait_for(
        lambda: "on one with gtk will do" in master.build(started.id).steps["lint"]["state_string"],
        5,
        lambda: master.describe(request),
    )
    build = master.finished(request)
    assert build.result == "SUCCESS", master.describe(request)
    assert master.properties(build)["agent:lint"] == "plain"
    assert master.output(build, "lint") == "once\n"
    left = "nothing is left in the queue of those it prefers"
    wait_for(lambda: not way.queues().get("cap.gtk+warm"), 30, left, every=1)


def metrics(master: BuildMaster) -> str:
    found = wait_for(lambda: re.search(r"http://127.0.0.1:\d+/metrics", master.log()), 60, "the port in the log")
    with urllib.request.urlopen(found.group(), timeout=60) as answer:
        return str(answer.read().decode())
