"""`worker-agent capabilities`: the table and the JSON."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from tests.unit.capabilities.conftest import WriteProbes, WriteProgram
from worker_agent.capabilities.report import command


def invoke(tools: Path, *arguments: str) -> str:
    result = CliRunner().invoke(command, arguments, env={"PATH": f"{tools}:/usr/bin:/bin"})
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_table(program: WriteProgram, probes: WriteProbes, tools: Path) -> None:
    """Name, version, how, path and when in columns; failures with path and reason below."""
    path = program("frob", "echo frob 1.2.3")
    broken = program("broken", "exit 4")
    folder = probes("""
    [probe.frob]
    command = "frob"
    [probe.broken]
    command = "broken"
    """)
    lines = invoke(
        tools,
        "--no-auto-capabilities",
        "--capabilities-d",
        str(folder),
        "--capability",
        "lab=7",
        "--capability",
        "x=1",
        "--without",
        "x",
    ).splitlines()
    assert lines[0].split() == ["NAME", "VERSION", "FOUND", "BY", "PATH", "WHEN"]
    frob, lab = lines[1].split(), lines[2].split()
    assert frob[:3] == ["frob", "1.2.3", "command"]
    assert str(path).startswith(frob[3].rstrip("…"))
    assert lab[:4] == ["lab", "7", "fixed", "--capability"]
    assert lines[1].index("1.2.3") == lines[2].index("7 ")
    assert f"  broken ({broken}): ended with exit code 4" in lines
    assert lines[-1].startswith("2 capabilities, 1 failed probes")


def test_json(program: WriteProgram, probes: WriteProbes, tools: Path) -> None:
    """The same for programs, nothing cut."""
    path = program("frob", "echo frob 1.2.3")
    folder = probes("""[probe.frob]
    command = "frob --version" """)
    told = json.loads(invoke(tools, "--json", "--no-auto-capabilities", "--capabilities-d", str(folder)))
    (record,) = told["capabilities"]
    assert (record["name"], record["version"], record["how"], record["path"]) == ("frob", "1.2.3", "command", str(path))
    assert record["command"] == f"{path} --version"
    assert record["line"] == "frob 1.2.3"
    assert told["failures"] == []


def test_what_cannot_be_read_is_a_usage_error(tools: Path) -> None:
    """Exit code 2, and what to write instead."""
    result = CliRunner().invoke(command, ["--capability", "=2"])
    assert result.exit_code == 2
    assert "a name begins with a letter" in result.output
