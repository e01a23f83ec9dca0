"""`worker-agent capabilities`: the table and the JSON."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.unit.capabilities.conftest import WriteProbes, WriteProgram
from worker_agent.capabilities import DetectOptions, detect
from worker_agent.capabilities.report import show

Options = Callable[..., DetectOptions]


async def test_the_table(program: WriteProgram, probes: WriteProbes, options: Options) -> None:
    """Name, version, how, path and when in columns; failures with path and reason below."""
    path = program("frob", "echo frob 1.2.3")
    broken = program("broken", "exit 4")
    probes("""
    [probe.frob]
    command = "frob"
    [probe.broken]
    command = "broken"
    """)
    lines = show(await detect(options(fixed=("lab=7", "x=1"), without=("x",)))).splitlines()
    assert lines[0].split() == ["NAME", "VERSION", "FOUND", "BY", "PATH", "WHEN"]
    frob, lab = lines[1].split(), lines[2].split()
    assert frob[:3] == ["frob", "1.2.3", "command"]
    assert str(path).startswith(frob[3].rstrip("…"))
    assert lab[:4] == ["lab", "7", "fixed", "--capability"]
    assert lines[1].index("1.2.3") == lines[2].index("7 ")
    assert f"  broken ({broken}): ended with exit code 4" in lines
    assert lines[-1].startswith("2 capabilities, 1 failed probes")


async def test_json(program: WriteProgram, probes: WriteProbes, options: Options) -> None:
    """The same for programs, nothing cut."""
    path = program("frob", "echo frob 1.2.3")
    probes("""[probe.frob]
    command = "frob --version" """)
    told = json.loads(show(await detect(options()), as_json=True))
    (record,) = told["capabilities"]
    assert (record["name"], record["version"], record["how"], record["path"]) == ("frob", "1.2.3", "command", str(path))
    assert record["command"] == f"{path} --version"
    assert record["line"] == "frob 1.2.3"
    assert told["failures"] == []
