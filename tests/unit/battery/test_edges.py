"""Small parts of the step: units in commands, scripts, what is printed, timings, the picture, arguments."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from buildbot.config.errors import capture_config_errors
from buildbot.plugins import steps, util
from buildbot.steps.shell import ShellCommand

from master_bridge.buildbot.battery import command, scripts, timings
from master_bridge.buildbot.battery.picture import picture
from master_bridge.buildbot.battery.units import lines_of, with_units
from master_bridge.core.battery.battery import BatteryMachine, Plan
from master_bridge.core.battery.events import FleetSize, ShardEnded, ShardLost, ShardTaken, UnitReport


def test_units_in_commands() -> None:
    """Arguments of their own, or one that a tool takes as a pattern."""
    assert with_units(["pytest", util.Units(), "-q"], ["a b", "c"]) == ["pytest", "a b", "c", "-q"]
    pattern = util.Units(join="|", escape=True, template="^({})$")
    assert with_units(["ctest", "-R", pattern], ["a.b", "c"]) == ["ctest", "-R", r"^(a\.b|c)$"]
    assert lines_of(" a\n\nb \r\nc\u2028d\x0be\n") == ["a", "b", "c\u2028d\x0be"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"command": "pytest"}, "command: a list"),
        ({"command": ["pytest"]}, "util.Units() stands where"),
        ({"units": ["a\nb"]}, "without line ends"),
        ({"units": 3}, "units: a list of texts"),
        ({"requires": ["gtk>>3"]}, "requires:"),
        ({"retries": -1}, "retries: a whole number"),
        ({"retries": True}, "retries: a whole number"),
        ({"target_seconds": 0}, "target_seconds: a number"),
        ({"report": 3}, "report: the name of a file"),
        ({"prepare": ["tar"]}, 'prepare: "archive" and steps'),
        ({"prefer_seconds": float("nan")}, "prefer_seconds"),
        ({"fencing": "soft"}, "fencing"),
        ({"logfiles": {}}, "logfiles"),
        ({"command": ["x", util.Units(), util.Interpolate("%(prop:builddir)s")]}, "is a folder of the build's own"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_named(arguments: dict[str, Any], said: str) -> None:
    """`buildbot checkconfig` says which and why."""
    with capture_config_errors() as errors:
        steps.Battery(**{"units": ["a"], "command": ["x", util.Units()], **arguments})
    assert said in "\n".join(errors.errors)


def test_right_arguments() -> None:
    """What the documentation shows."""
    with capture_config_errors() as errors:
        steps.Battery(
            units=util.Property("units"), command=["x", util.Units()], requires=["gtk>=3"], report="junit.xml",
            prepare=["archive", ShellCommand(command="make")], target_seconds=30, retries=2, env={"A": "b"}, timeout=60,
        )  # fmt: skip
    assert errors.errors == []


def test_the_script_around_a_shard(tmp_path: Path) -> None:
    """It says what is missing, removes an old report, marks what was prepared, and becomes the command."""
    folder = tmp_path / "slot-1" / "b" / "build"
    folder.mkdir(parents=True)
    (folder / "junit.xml").write_text("old")
    places = scripts.Places("build", "b", "key1")

    def run(prepared: bool) -> tuple[int, str]:
        argv = places.run(["sh", "-c", "ls; exit 3"], prepared=prepared, archived=True, report="junit.xml")
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    assert scripts.asks_for(*run(prepared=False)) == "fetch"
    archive = folder.parent / places.archive
    archive.parent.mkdir(parents=True)
    subprocess.run(scripts.pack(str(archive)), cwd=folder, check=True)
    assert scripts.asks_for(*run(prepared=False)) == "unpack"
    subprocess.run(places.unpack(), cwd=folder.parent, check=True)
    assert (folder / "junit.xml").exists()
    assert run(prepared=True) == (3, "")
    assert run(prepared=False) == (3, "")
    assert scripts.asks_for(75, "of the command's own") is None
    assert scripts.asks_for(scripts.Places("build", "b", "key2") and 0, "") is None


def test_the_same_files_make_the_same_archive(tmp_path: Path) -> None:
    """Whenever they were written: machines know a revision by it."""
    made = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "b").write_text("x")
        (folder / "a").write_text("y")
        subprocess.run(scripts.pack("../made.tar.gz"), cwd=folder, check=True)
        made.append((tmp_path / "made.tar.gz").read_bytes())
    assert made[0] == made[1]


def test_what_is_printed_is_bounded() -> None:
    """Its beginning and its end are kept."""
    printed = command.Printed()
    for number in range(100_000):
        printed.add(f"line {number}\n")
    assert printed.text.startswith("line 0\n")
    assert printed.text.endswith("line 99999\n")
    assert len(printed.text) < command.HEAD_MAX + command.TAIL_MAX + 100
    short = command.Printed()
    short.add("all of it")
    assert short.text == "all of it"


def test_timings_are_a_weighted_mean_and_bounded() -> None:
    """A run of one unit leaves the others as they were; the longest unused goes first."""
    first = timings.renewed({}, {"a": 10.0, "b": 4.0}, now=1.0)
    second = timings.renewed(first, {"a": 20.0}, now=2.0)
    assert second["a"][0] == 13.0
    assert second["b"] == first["b"]
    many = timings.renewed(second, {"x" * 400 + str(number): 1.0 for number in range(200)}, now=3.0)
    assert sum(len(unit) + 40 for unit in many) <= timings.BUCKET_BYTES
    assert "a" not in many


def test_the_picture_escapes_what_agents_say() -> None:
    """A row for each agent, a bar for each shard."""
    made = BatteryMachine([f"t{number}" for number in range(10)], timings={}, plan=Plan())
    made.handle(FleetSize(slots=2), 0.0)
    made.handle(ShardTaken(shard=1, agent="<script>alert(1)</script>"), 1.0)
    made.handle(ShardTaken(shard=2, agent="a2"), 1.0)
    made.handle(ShardLost(shard=2, reason="r"), 3.0)
    reports = {unit: UnitReport(outcome="failed") for unit in made.running[1].shard.units}
    made.handle(ShardEnded(shard=1, seconds=4.0, reports=reports), 5.0)
    text = picture(made)
    assert "<script" not in text
    assert text.count("<title>") == 2
    assert ", lost," in text
