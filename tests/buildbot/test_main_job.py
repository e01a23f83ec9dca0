"""The main job on real parts: an unmodified master with our bridge, a real broker, real agents."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.ways import BROKER

pytestmark = pytest.mark.brokers

CONFIG = """
c['workers'] = worker.amqp_column("gtk", workers=2, requires=["gtk>=3"])
builder("gtk", c['workers'],
    steps.ShellCommand(name="hello", command=["echo", "hello world"]),
    steps.ShellCommand(name="mixed", command="echo out; echo err >&2; printf 'no newline'"),
    steps.ShellCommand(name="where", command=["pwd"]),
)
builder("fails", c['workers'], steps.ShellCommand(name="false", command=["false"]))
"""


@pytest.mark.parametrize("queue_type", ["classic", pytest.param("quorum", marks=pytest.mark.rabbitmq(BROKER))])
def test_a_build_runs_on_an_agent(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], queue_type: str
) -> None:
    """A build's steps run on the agent that claimed it; logs, results and the agent's name are Buildbot's."""
    master = make_master(CONFIG, broker=f"queue_type={queue_type!r}")
    make_agent("a1", capabilities=["gtk=3.24"])
    build = master.finished(master.force("gtk"))
    assert build.result == "SUCCESS", master.describe(build.row["buildrequestid"])
    assert master.output(build, "hello") == "hello world\n"
    assert master.output(build, "mixed") == "out\nno newline\n"
    assert master.output(build, "mixed", streams="e") == "err\n"
    properties = master.properties(build)
    assert properties["agent"] == "a1"
    assert properties["capabilities"]["gtk"] == "3.24"
    assert master.output(build, "where").strip() == properties["builddir"] + "/build"
    failed = master.finished(master.force("fails"))
    assert failed.result == "FAILURE"
    assert failed.step_result("false") == "FAILURE"
