"""Preferences: an agent that offers more is waited for, for a time; and what the master tells Prometheus of it."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Callable

from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for

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
    text = metrics(master)
    assert "buildbot_amqp_queue_wait_seconds_count 3.0" in text
    assert 'buildbot_amqp_column_slots{column="gtk",state="free"} 1.0' in text
    waited = re.search(r"buildbot_amqp_queue_wait_seconds_sum (\S+)", text)
    assert waited is not None
    assert float(waited[1]) >= 8


def metrics(master: BuildMaster) -> str:
    found = wait_for(lambda: re.search(r"http://127.0.0.1:\d+/metrics", master.log()), 10, "the port in the log")
    with urllib.request.urlopen(found.group(), timeout=10) as answer:
        return str(answer.read().decode())
