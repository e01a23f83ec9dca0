"""Files and folders to and from real agents over each transport: of any name and size, whole or not at all, also when
they change meanwhile; and errors that say what to do."""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from master_bridge.running import AgentResult, Fleet, OperatingError
from master_bridge.running.local_files import Arriving, LocalFile
from tests.broker.agent.conftest import AgentProcess
from tests.broker.running.conftest import Begin

pytestmark = pytest.mark.long

Agents = Callable[..., Awaitable["list[AgentProcess]"]]
#: Bytes of a file of which neither side has all when the first of them have come.
LARGE = 64 * 1024 * 1024


async def test_files_go_both_ways_and_are_looked_at(agents: Agents, fleet: Fleet, begin: Begin, tmp_path: Path) -> None:
    started = await agents("a1", "a2")
    await asyncio.to_thread(_both_ways, started, fleet, begin, tmp_path)


def _both_ways(agents: list[AgentProcess], fleet: Fleet, begin: Begin, tmp_path: Path) -> None:
    """By the API with all agents at once, by the program with one."""
    every = ["any"]
    first, second = (each.agent for each in fleet.agents())
    base = [agent.folder / "state" / "builds" for agent in agents]
    data = random.Random(3).randbytes(7_000_001)
    name = "-rf *\n'ä\" "
    (tmp_path / "here").mkdir()
    local = tmp_path / "here" / name
    local.write_bytes(data)
    local.chmod(0o751)

    def good(results: list[AgentResult]) -> list[AgentResult]:
        return [result.check() for result in results]

    good(fleet.put(local, "into/one", match=every))
    good(fleet.put(local, "into", match=every))
    assert [(folder / "into" / name).read_bytes() == data for folder in base] == [True, True]
    assert (base[0] / "into" / "one").stat().st_mode & 0o777 == 0o751
    assert [result.names for result in good(fleet.ls("into", match=every))] == [(name, "one")] * 2
    good(fleet.rename("into/one", "into/two", match=every))
    good(fleet.copy("into", "copied", match=every))
    got = good(fleet.get(f"copied/{name}", tmp_path / "got", match=every))
    assert [result.path for result in got] == [tmp_path / "got" / agent / name for agent in (first, second)]
    assert [result.path.read_bytes() == data for result in got if result.path] == [True, True]
    good(fleet.rm("into/two", "copied", recursive=True, match=every))
    assert [result.names for result in good(fleet.ls("*", match=every))] == [(str(folder / "into"),) for folder in base]

    refused = {
        "is there already: give force": fleet.put(local, "into", on=[first]),
        "there is no such file": fleet.get("none", tmp_path / "x", on=[first]),
        "it has no end": fleet.get("/dev/zero", tmp_path / "x", on=[first]),
        "is a folder: give recursive": fleet.rm("into", on=[first]),
        "Not a directory": fleet.put(local, f"into/{name}/below/x", on=[first], force=True),
    }
    for reason, (result,) in refused.items():
        assert reason in (result.error or ""), result
        assert result.exit_status is None
    with pytest.raises(OperatingError, match="No such file"):
        fleet.put(tmp_path / "none", "x", match=every)
    good(fleet.put(local, "into", force=True, match=every))

    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / name).write_bytes(data)
    (folder / "below" / name).chmod(0o700)
    (folder / "link").symlink_to("below")
    (folder / "out").symlink_to("/etc/passwd")
    good(fleet.put(folder, "into", match=every))
    assert os.readlink(base[1] / "into" / "folder" / "out") == "/etc/passwd"
    got = good(fleet.get("into/folder", tmp_path / "came", match=every))
    assert [result.path for result in got] == [tmp_path / "came" / agent / "folder" for agent in (first, second)]
    for result in got:
        assert result.path is not None
        assert (result.path / "below" / name).read_bytes() == data
        assert (result.path / "below" / name).stat().st_mode & 0o777 == 0o700
        assert os.readlink(result.path / "link") == "below"
        assert not (result.path / "out").is_symlink()
        assert result.left_out == ("Link 'out' leads outside of the target folder: to '/etc/passwd'",)
    (again,) = fleet.get("into/folder", tmp_path / "came" / first, on=[first])
    assert "a folder replaces nothing" in (again.error or "")

    begin("put", "--on", first, "--mode", "0600", str(local), "by-program").ended()
    assert (base[0] / "by-program").stat().st_mode & 0o777 == 0o600
    listed = begin("ls", "--on", first, "--on", second).ended()
    assert listed.stdout.splitlines()[0] == f"{first}: .operators".encode()
    fetched = begin("get", "--on", first, "by-program", str(tmp_path / "fetched")).ended()
    assert fetched.stdout.decode().strip() == str(tmp_path / "fetched")
    refusal = begin("get", "--on", first, "by-program", str(tmp_path / "fetched")).ended(1)
    assert "is there already" in refusal.stderr
    begin("rename", "--match", "any", "into", "onto").ended()
    begin("copy", "--on", first, "onto", "copy").ended()
    begin("rm", "--match", "any", "-r", "onto").ended()
    assert sorted(os.listdir(base[1])) == [".operators"]


async def test_files_that_change_while_they_are_copied(
    agents: Agents, fleet: Fleet, begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there is as it was at one moment. Otherwise nothing is, and an error names the file and the remedy."""
    (agent,) = await agents("a1")
    await asyncio.to_thread(_changing, agent, fleet, begin, tmp_path, monkeypatch)


def _changing(agent: AgentProcess, fleet: Fleet, begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = agent.folder / "state" / "builds"
    here, every = tmp_path / "here", ["any"]
    here.mkdir()
    theirs.mkdir(exist_ok=True)
    (name,) = (each.agent for each in fleet.agents())

    def with_first_bytes(of: type, method: str, change: Callable[[], object], do: Callable[[], Any]) -> AgentResult:
        """What becomes of it, when this changes once some bytes are on their way."""
        original, changes = getattr(of, method), [change]

        def changing(self: Any, *args: Any) -> Any:
            done = original(self, *args)
            if changes:
                changes.pop()()
            return done

        with monkeypatch.context() as patch:
            patch.setattr(of, method, changing)
            (result,) = do()
        assert not changes
        return result  # type: ignore[no-any-return]  # it is one

    def large(folder: Path) -> Path:
        path = folder / "large"
        path.unlink(missing_ok=True)
        path.touch()
        os.truncate(path, LARGE)
        return path

    def add(path: Path) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    def left(folder: Path) -> set[str]:
        return {path.name for path in folder.iterdir()} - {"large", ".operators"}

    def get(change: Callable[[Path], object]) -> AgentResult:
        path = large(theirs)
        return with_first_bytes(
            Arriving, "write", lambda: change(path), lambda: fleet.get("large", here / "got", match=every, force=True)
        )

    grown = get(add).check()
    assert grown.left_out == (f"what was added to {theirs}/large meanwhile: its first {LARGE} bytes are copied",)
    assert (here / "got").stat().st_size == LARGE
    assert get(Path.unlink).check().left_out == ()
    assert (here / "got").stat().st_size == LARGE
    (here / "got").write_text("mine")
    shrunk = get(lambda path: os.truncate(path, 10))
    assert shrunk.error is not None
    assert re.search(f"{theirs}/large became shorter .*is not kept: get it again", shrunk.error)
    (broken,) = fleet.get("/proc/self/mem", here / "got", match=every, force=True)
    assert re.search("/proc/self/mem is not copied; see whether .*: OSError: .*Input/output", broken.error or "")
    assert (left(here), (here / "got").read_text()) == ({"got"}, "mine")
    # Files of the system's own, which have less than they say, and a folder of them.
    (fleet.get("/proc/self/status", here / "status", match=every)[0]).check()
    assert (here / "status").stat().st_size > 0
    (here / "status").unlink()
    counters = "/sys/class/net/lo/statistics"
    (fleet.get(f"{counters}/rx_bytes", here / "rx", match=every)[0]).check()
    (here / "rx").unlink()
    refused = begin("get", "--on", name, counters, str(here / "counters")).ended(1)
    assert re.search(f"{counters} is not copied; get it again .*'{counters}/rx_bytes'", refused.stderr)
    assert left(here) == {"got"}

    def put(change: Callable[[Path], object]) -> AgentResult:
        path = large(here)
        (theirs / "put").unlink(missing_ok=True)
        return with_first_bytes(LocalFile, "read", lambda: change(path), lambda: fleet.put(path, "put", match=every))

    def write_over(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(LARGE - 10)
            file.write(b"over")

    before = left(theirs)
    for change in (add, Path.unlink):
        put(change).check()
        assert (theirs / "put").stat().st_size == LARGE
    for other in (lambda path: os.truncate(path, LARGE - 10), write_over):
        failed = put(other)
        assert (
            failed.error == f"{here}/large: it was changed while it was copied; put it again when nobody writes to it"
        )
        assert left(theirs) == before
    not_there = begin("put", "--on", name, counters, "counters").ended(1)
    assert re.search("statistics is not copied; put it again .*/rx_bytes: it became shorter", not_there.stderr)
    with pytest.raises(OperatingError, match=r"/proc/self/mem: Input/output error"):
        fleet.put("/proc/self/mem", "put", match=every)
    assert left(theirs) == before
