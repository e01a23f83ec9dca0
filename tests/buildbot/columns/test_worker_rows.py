"""What Buildbot's database says of places while agents, columns, the broker and the master come and go."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for

CONFIG = """
c['protocols'] = {'pb': {'port': f'tcp:{PB_PORT}:interface=127.0.0.1'}}
c['workers'] = [worker.Worker("pb", "secret")]
c['workers'] += worker.amqp_column("gtk", workers=2, requires=["gtk>=3"])
builder("gtk", ["gtk-1", "gtk-2", "pb"], steps.ShellCommand(name="sh", command=["true"]))
"""
OTHER = CONFIG.replace('"gtk", workers=2, requires=["gtk>=3"]', '"wx", workers=1, requires=["wx"]').replace(
    '"gtk-1", "gtk-2"', '"wx-1"'
)


def test_places_are_connected_while_their_column_is_served(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent]
) -> None:
    """By an agent that takes work, busy or idle; a build changes nothing. Others are left to Buildbot."""
    master = make_master(CONFIG)

    def wait_row(name: str, connected: bool, agents: str) -> None:
        def is_so() -> bool:
            rows = [row for row in master.get("/workers")["workers"] if row["name"] == name]
            return [(bool(row["connected_to"]), row["workerinfo"].get("agents")) for row in rows] == [told]

        told = (connected, agents)
        wait_for(is_so, 60, lambda: f"{name} {told}: {master.get('/workers')}")

    wait_row("gtk-1", False, "none qualifies: no agent is alive")
    agent = make_agent("a1", capabilities=["gtk=3.24"])
    for name in ("gtk-1", "gtk-2"):
        wait_row(name, True, "some qualify and take work")
    before = master.worker("gtk-1")
    assert master.finished(master.force("gtk")).result == "SUCCESS"
    assert master.worker("gtk-1") == before
    agent.stop(timeout=20)
    wait_row("gtk-2", False, "none: those that qualify take no work (paused, unwell, silent, leaving)")
    make_agent("a2", capabilities=["gtk=3.24", "wx=3"])
    wait_row("gtk-2", True, "some qualify and take work")

    master.reconfigure(OTHER)
    wait_row("wx-1", True, "some qualify and take work")
    assert master.worker("gtk-1")["connected_to"] == []
    assert master.worker("pb")["workerinfo"] == {}
    master.stop()
    with sqlite3.connect(master.folder / "state.sqlite") as database:
        assert database.execute("select workerid from connected_workers").fetchall() == []
    assert "Traceback" not in master.log()
