"""`buildbot stop` in the moments in which Buildbot cannot interrupt what a build is at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for

#: The second step has no id for three seconds: it is not in the database before its name is known.
CONFIG = """
from twisted.internet import reactor, task

@util.renderer
def named_slowly(props):
    open({making!r}, "w").close()
    return task.deferLater(reactor, 3, lambda: "second")

c['workers'] = worker.amqp_column("gtk", workers=2, requires=["gtk"])
builder("b", c['workers'],
    steps.ShellCommand(name="first", command="echo first >> {mark}"),
    steps.ShellCommand(name=named_slowly, command="echo second >> {mark}"))
"""


def test_between_two_steps_the_build_is_kept_too(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """Buildbot cancels a step that is just being made, and the build with it; but a lost build runs again."""
    mark, making = tmp_path / "mark", tmp_path / "making"
    master = make_master(CONFIG.format(mark=mark, making=str(making)))
    make_agent("a1", capabilities=["gtk"])
    request = master.force("b")
    wait_for(making.exists, 60, lambda: f"the second step is being made: {master.describe(request)}")
    master.stop()
    master.start()
    master.finished(request, 60)
    assert [build.result for build in master.builds(request)] == ["RETRY", "SUCCESS"], master.describe(request)
    assert mark.read_text().split() == ["first", "second"]
