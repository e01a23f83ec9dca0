"""What one build learns of units and agents, the next one uses; a run that was stopped takes nothing away."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

from tests.buildbot.battery.test_battery import config, ran
from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for

#: In the order in which they are listed; "wait" waits for the file "go".
UNITS = ["sleep0.1-a", "sleep0.1-b", "wait-sleep0.1-c", "sleep0.1-d", "sleep1.5-e"]


def known(master: BuildMaster) -> dict[str, list[float]]:
    """[seconds, when] by unit, and [speed, when] by agent, as Buildbot's database has them."""
    found: dict[str, list[float]] = {}
    database = sqlite3.connect(f"file:{master.folder / 'state.sqlite'}?mode=ro", uri=True)
    query = "SELECT value_json FROM object_state JOIN objects ON objects.id = objectid WHERE class_name LIKE ?"
    for (value,) in database.execute(query, ("%battery.Timings",)):
        found.update(json.loads(value))
    database.close()
    return found


def order(folder: Path) -> list[str]:
    """Units in the order in which they ran since this was asked last."""
    path = folder / "ran"
    units = path.read_text().split()
    path.unlink()
    return units


def test_a_build_learns_and_the_next_one_uses_it(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """The longest unit is listed last, and runs first from the second build on, also after one that was stopped."""
    master = make_master(config(tmp_path, UNITS))
    make_agent("a1", capabilities=["gtk"])
    (tmp_path / "go").touch()

    def build() -> list[str]:
        request = master.force("b")
        assert master.finished(request, 90).step_result("battery") == "SUCCESS", master.describe(request)
        return order(tmp_path)

    assert known(master) == {}
    assert build() == UNITS, "nothing is known: as they are listed"
    first = known(master)
    assert set(first) == {*UNITS, "a1"}
    assert 1.5 <= first["sleep1.5-e"][0] < 3.0
    assert max(first[unit][0] for unit in UNITS[:4]) < first["sleep1.5-e"][0]
    assert build()[0] == "sleep1.5-e"

    before = known(master)
    (tmp_path / "go").unlink()
    request = master.force("b")
    waiting = "wait-sleep0.1-c"
    wait_for(lambda: waiting in ran(tmp_path), 60, lambda: master.describe(request))
    done = set(ran(tmp_path)) - {waiting}
    assert "sleep1.5-e" in done
    master.call(f"/builds/{master.builds(request)[-1].id}", "stop", reason="enough")
    assert master.finished(request, 30).result == "CANCELLED", master.describe(request)
    after = known(master)
    assert set(after) == set(before)
    assert after[waiting] == before[waiting], "it was running: that tells nothing of it"
    assert after["sleep1.5-e"][1] > before["sleep1.5-e"][1], "it ended: its time counts"
    for unit in set(UNITS) - done:
        assert after[unit] == before[unit]
    order(tmp_path)
    (tmp_path / "go").touch()
    assert build()[0] == "sleep1.5-e"
