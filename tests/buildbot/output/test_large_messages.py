"""What does not fit into a message is an EXCEPTION with its size and the limit, and the slot is free for the next."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from contracts.timing import COMMAND_MAX, LOG_NAME_MAX
from tests.harness.agents import Agent
from tests.harness.master import BuildMaster

CONFIG = """
from buildbot.plugins import util
c['workers'] = worker.amqp_column("gtk", workers=1, requires=["gtk"])
LARGE = "y" * 5_000_000
builder("command", c['workers'], steps.ShellCommand(name="large", command=["echo", LARGE]))
builder("env", c['workers'], steps.ShellCommand(name="large", command="true", env={"LARGE": LARGE}))
builder("envs", c['workers'],
    steps.ShellCommand(name="large", command="true", env={f"V{n}": "y" * 50_000 for n in range(100)}))
builder("property", c['workers'],
    steps.SetProperties(name="set", properties={"text": LARGE}),
    steps.ShellCommand(name="large", command=["echo", util.Property("text")]))
builder("escaped", c['workers'], steps.ShellCommand(name="large", command=["echo", chr(1) * 1_000_000]))
builder("stdin", c['workers'], steps.ShellCommand(name="large", command="cat", initialStdin=LARGE))
builder("mkdir", c['workers'], steps.MakeDirectory(name="large", dir=LARGE))
builder("offer", c['workers'], steps.CapabilityCommand(name="large", command=["echo", LARGE], requires=["gtk"]))
builder("names", c['workers'],
    steps.ShellCommand(name="make", command=["python3", "-c",
        "import os\\nfor n in range(20000): open(f'{n:0>250}', 'w').close()"]),
    steps.MultipleFileUpload(name="large", workersrcs=["*"], masterdest="x", glob=True))
builder("logname", c['workers'],
    steps.ShellCommand(name="large", command="true", logfiles={"l" * 100_000: "f"}))
builder("small", c['workers'], steps.ShellCommand(name="echo", command="echo well"))
"""
CASES = dict.fromkeys(
    ("command", "env", "envs", "property", "escaped", "stdin", "mkdir", "offer", "names"), COMMAND_MAX
) | {"logname": LOG_NAME_MAX}


def test_what_is_too_large_is_an_exception_and_the_slot_lives(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent]
) -> None:
    """A command, its environment, a property in it, its input, a folder's name, names of files, a log file's name."""
    master = make_master(CONFIG)
    make_agent("a1", capabilities=["gtk"])
    for name, limit in CASES.items():
        build = master.finished(master.force(name), 60)
        assert build.result == "EXCEPTION", name
        assert build.step_result("large") == "EXCEPTION", name
        told = "".join(master.step_log(build, "large", log) for log in ("err.text",))
        sizes = [int(number) for number in re.findall(r"\b\d{4,}\b", told)]
        assert limit in sizes, (name, told[-500:])
        assert any(size > limit for size in sizes), (name, told[-500:])
        assert len(told) < 100_000, name
    build = master.finished(master.force("small"), 60)
    assert build.result == "SUCCESS"


@pytest.mark.long
def test_the_reason_of_a_stop_may_be_as_long_as_it_likes(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent]
) -> None:
    """It is cut on its way to the agent."""
    master = make_master(
        CONFIG + "builder('slow', c['workers'], steps.ShellCommand(name='sleep', command='sleep 300'))"
    )
    make_agent("a1", capabilities=["gtk"])
    request = master.force("slow")
    build = master.step_running(request, "sleep")
    master.call(f"/builds/{build.id}", "stop", reason="why " * 1_500_000)
    assert master.finished(request, 60).result == "CANCELLED"
