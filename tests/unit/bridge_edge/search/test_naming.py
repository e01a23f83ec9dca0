"""Which agent a build has: in the text and the log of its first step, and in its own text."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from twisted.internet import defer

from contracts.messages import Capability, WorkerInfo
from contracts.requirements.sets import Requirements
from master_bridge.buildbot.search.naming import Naming, agent_log, found_text
from tests.unit.bridge_edge.building import HOLDER, FakeBuild, FakeMaster

HAS = tuple(
    Capability(name=name, version=version)
    for name, version in (("GTK", "3.24"), ("python", "3.11"), ("wx", None), ("qt", "6"))
)
FOUND = replace(HOLDER, capabilities=HAS)


def text(*asked: str, waited: float = 75.0, adopted: bool = False, agent: str = "a1") -> str:
    return found_text(replace(FOUND, agent=agent), Requirements.of(asked), waited=waited, adopted=adopted)


def test_the_text_tells_what_was_asked_for_and_how_long_it_took() -> None:
    assert text("gtk>=3", "wx") == "agent a1 with GTK 3.24, wx; waited 75 s for it"
    assert text("python3") == "agent a1 with python 3.11; waited 75 s for it"
    assert text(waited=0.2) == "agent a1; waited less than a second for it"
    assert text("qt", adopted=True) == "agent a1 with qt 6; has run this since before the master's restart"


def test_foreign_text_is_shown_and_bounded() -> None:
    """Names and versions are the agent's own; a column may ask for a hundred capabilities."""
    assert text(agent="\x1b[31m<img>\n").startswith("agent \\x1b[31m<img>\\n; ")
    many = tuple(Capability(name=f"c{number}", version="9" * 128) for number in range(100))
    said = found_text(
        replace(FOUND, capabilities=many, agent="a" * 128),
        Requirements.of([f"c{number}" for number in range(40)]),
        waited=1.0,
        adopted=False,
    )
    assert "and 30 more; waited 1 s" in said
    assert len(said) < 2_000
    assert said.isprintable()


def test_the_log_tells_a_capability_a_line() -> None:
    """And what people wrote about the machine; nothing of its environment, in which secrets may be."""
    worker = WorkerInfo(
        version="1.2",
        basedir="/b",
        host="under the desk\n",
        admin=None,
        facts={"rack": "17"},
        environ={"KEY": "secret"},
    )
    lines = list(agent_log(replace(FOUND, worker=worker)))
    assert lines[:4] == ["agent: a1", "account: u", "instance: i1", "host: under the desk\\n"]
    assert "rack: 17" in lines
    assert lines[lines.index("capabilities: 4") :] == [
        "capabilities: 4",
        "  GTK 3.24",
        "  python 3.11",
        "  qt 6",
        "  wx",
    ]
    assert "secret" not in "\n".join(lines)


class Step:
    stepid = 5

    def __init__(self) -> None:
        self.logs: list[tuple[str, str]] = []

    def addCompleteLog(self, name: str, said: str) -> defer.Deferred[None]:
        self.logs.append((name, said))
        return defer.succeed(None)


def naming(master: Any) -> tuple[Naming, Step]:
    build = FakeBuild()
    build.buildid = 70
    build._preparation_step = step = Step()
    return Naming(master, build, FOUND, "agent a1"), step


def test_it_is_written_once_each() -> None:
    master = FakeMaster()
    named, step = naming(master)
    named.build_starts()
    for _ in range(3):
        named.command_starts()
    told = [made for made in master.updates.made if made[0] != "setBuildProperties"]
    assert told == [
        ("setStepStateString", 5, "agent a1"),
        ("addStepURL", 5, "agent a1", "http://buildbot/#/fleet/agent?id=u%2Fi1"),
        ("setBuildStateString", 70, "building on a1"),
    ]
    assert [name for name, _ in step.logs] == ["agent"]
    properties = next(made for made in master.updates.made if made[0] == "setBuildProperties")[2]
    assert properties.asDict() == {
        "agent": ("a1", "AMQP"), "agent_account": ("u", "AMQP"), "agent_instance": ("i1", "AMQP")
    }  # fmt: skip


def test_a_database_in_trouble_does_not_cost_the_build_its_agent() -> None:
    master = FakeMaster()
    broken = SimpleNamespace(
        setStepStateString=lambda *_: defer.fail(OSError("locked")),
        setBuildStateString=lambda *_: defer.fail(OSError("locked")),
    )
    master.data = SimpleNamespace(updates=broken)
    named, step = naming(master)
    named.build_starts()
    named.command_starts()
    assert step.logs == []
