"""Files to and from real agents: of any name and size, whole or not at all, and errors that say what to do."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from master_bridge.running import AgentResult, Fleet, OperatingError
from tests.broker.running.conftest import Begin, StartAll

pytestmark = pytest.mark.long


def test_files_go_both_ways_and_are_looked_at(start_all: StartAll, begin: Begin, amqp_url: str, tmp_path: Path) -> None:
    """By the API with all agents at once, by the program with one."""
    agents = start_all("a1", "a2")
    fleet, every = Fleet(amqp_url), ["any"]
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
    assert [result.path for result in got] == [tmp_path / "got" / agent / name for agent in ("a1", "a2")]
    assert [result.path.read_bytes() == data for result in got if result.path] == [True, True]
    good(fleet.rm("into/two", "copied", recursive=True, match=every))
    assert [result.names for result in good(fleet.ls("*", match=every))] == [(str(folder / "into"),) for folder in base]

    refused = {
        "is there already: give force": fleet.put(local, "into", on=["a1"]),
        "there is no such file": fleet.get("none", tmp_path / "x", on=["a1"]),
        "it has no end": fleet.get("/dev/zero", tmp_path / "x", on=["a1"]),
        "is a folder: give recursive": fleet.rm("into", on=["a1"]),
        "Not a directory": fleet.put(local, f"into/{name}/below/x", on=["a1"], force=True),
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
    assert [result.path for result in got] == [tmp_path / "came" / agent / "folder" for agent in ("a1", "a2")]
    for result in got:
        assert result.path is not None
        assert (result.path / "below" / name).read_bytes() == data
        assert (result.path / "below" / name).stat().st_mode & 0o777 == 0o700
        assert os.readlink(result.path / "link") == "below"
        assert not (result.path / "out").is_symlink()
        assert result.left_out == ("Link 'out' leads outside of the target folder: to '/etc/passwd'",)
    (second,) = fleet.get("into/folder", tmp_path / "came" / "a1", on=["a1"])
    assert "a folder replaces nothing" in (second.error or "")

    begin("put", "--on", "a1", "--mode", "0600", str(local), "by-program").ended()
    assert (base[0] / "by-program").stat().st_mode & 0o777 == 0o600
    listed = begin("ls", "--on", "a1", "--on", "a2").ended()
    assert listed.stdout.splitlines()[0] == b"a1: .operators"
    fetched = begin("get", "--on", "a1", "by-program", str(tmp_path / "fetched")).ended()
    assert fetched.stdout.decode().strip() == str(tmp_path / "fetched")
    again = begin("get", "--on", "a1", "by-program", str(tmp_path / "fetched")).ended(1)
    assert "is there already" in again.stderr
    begin("rename", "--match", "any", "into", "onto").ended()
    begin("copy", "--on", "a1", "onto", "copy").ended()
    begin("rm", "--match", "any", "-r", "onto").ended()
    assert sorted(os.listdir(base[1])) == [".operators"]
