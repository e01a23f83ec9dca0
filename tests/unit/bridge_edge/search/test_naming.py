"""Which agent a build has: in the text and the log of its first step, and in its own text."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from structlog.testing import capture_logs
from twisted.internet import defer

from contracts.messages import Capability, WorkerInfo
from contracts.readable import shown
from contracts.requirements.sets import Requirements
from master_bridge.buildbot.search.naming import MATCHING_SHOWN, NAME_SHOWN, Naming, agent_log, agent_name, found_text
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
    with capture_logs() as log:
        named.build_starts()
        named.command_starts()
    assert step.logs == []
    told = [(entry["event"], entry["build"], entry["reason"]) for entry in log]
    assert told == [("amqp.agent_not_named", 70, "locked")] * 2


def test_the_log_tells_all_that_is_known_of_the_machine() -> None:
    """By names that a reader can look up; sorted by version where there are several of one capability."""
    worker = WorkerInfo(
        version="1.2", basedir="/b", host="h", admin="Ann", access_uri="ssh://h", system="posix", numcpus=4,
        facts={"rack": "17", "r" * 200: "long"},
    )  # fmt: skip
    several = tuple(Capability(name=name, version=version) for name, version in (
        ("b", "2"), ("a", "2"), ("a", "10"), ("a", None), ("n" * 128, "9" * 128),
    ))  # fmt: skip
    assert list(agent_log(replace(FOUND, worker=worker, capabilities=several))) == [
        "agent: a1",
        "account: u",
        "instance: i1",
        "host: h",
        "admin: Ann",
        "access_uri: ssh://h",
        "version: 1.2",
        "system: posix",
        "basedir: /b",
        "numcpus: 4",
        "rack: 17",
        f"{shown('r' * 200, NAME_SHOWN)}: long",
        "",
        "capabilities: 5",
        "  a",
        "  a 10",
        "  a 2",
        "  b 2",
        f"  {shown('n' * 128, NAME_SHOWN)} {shown('9' * 128, NAME_SHOWN)}",
    ]
    assert next(agent_log(replace(FOUND, agent="a" * 200))) == f"agent: {'a' * 200}"


def test_as_many_as_fit_are_told_without_a_count() -> None:
    """One more, and there is."""
    for number, more in ((MATCHING_SHOWN, False), (MATCHING_SHOWN + 1, True)):
        names = [f"c{each}" for each in range(number)]
        has = tuple(Capability(name=name) for name in names)
        said = found_text(replace(FOUND, capabilities=has), Requirements.of(names), waited=5, adopted=False)
        assert (" more" in said) is more
    assert agent_name(replace(FOUND, agent="a" * 200)) == shown("a" * 200, NAME_SHOWN)
    assert text(waited=1.0).endswith("waited 1 s for it")
