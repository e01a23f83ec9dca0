"""What an operator sees of a real fleet and does with it from a terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.buildbot.test_trust import ask
from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for
from tests.harness.ways import ACCOUNT, Way

#: `make test` has the same in tests/broker/operators and tests/transports/office.
pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

CONFIG = """
c['collapseRequests'] = False
c['workers'] = worker.amqp_column("gtk", workers=2, requires=["gtk>=3"])
builder("gtk", c['workers'], steps.ShellCommand(name="hold", command="while [ ! -e {stop} ]; do sleep 0.1; done"))
c['workers'] += worker.amqp_column("next", workers=1, requires=["gtk>=4"])
builder("next", ["next-1"], steps.ShellCommand(command="true"))
"""


def test_an_operator_sees_and_steers_the_fleet(
    make_master: Callable[..., BuildMaster],
    make_agent: Callable[..., Agent],
    way: Way,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fleet, why, demand; run; drain, resume and stop."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "operator"))
    master = make_master(CONFIG.format(stop=tmp_path / "stop"))
    able = make_agent("able", capabilities=["gtk=3.24"])
    other = make_agent("other", capabilities=["gtk=2.24"])

    def agents() -> dict[str, Any]:
        return {each["agent"]: each for each in json.loads(ask(way, "fleet", "--json"))["agents"]}

    wait_for(lambda: sorted(agents()) == ["able", "other"], 60, lambda: str(agents()))
    assert {each["account"] for each in agents().values()} == {ACCOUNT}
    request = master.force("gtk")
    master.step_running(request, "hold")
    waiting = master.force("gtk")
    master.started(waiting)
    assert "runs on able" in ask(way, "why", f"br-{request}")
    assert "waits" in ask(way, "why", f"br-{waiting}")
    assert int(ask(way, "demand", "gtk>=3")) >= 1
    unserved = master.force("next")
    master.started(unserved)
    assert "able has gtk 3.24, needs gtk>=4" in ask(way, "why", f"br-{unserved}")
    assert "seen by other" in ask(way, "run", "--on", "other", "--", "echo", "seen by other")
    ask(way, "drain", "able")
    (tmp_path / "stop").touch()
    assert master.finished(request).result == "SUCCESS", master.describe(request)
    assert not master.builds(waiting)[-1].row["complete"], "it takes nothing new"
    ask(way, "resume", "able")
    assert master.finished(waiting).result == "SUCCESS", master.describe(waiting)
    ask(way, "stop", "--match", "any")
    for agent in (able, other):
        wait_for(lambda agent=agent: not agent.running, 60, agent.log)  # type: ignore[misc]
