"""Looking again before a claim: cheap while nothing changed, honest when something did."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.unit.capabilities.conftest import WriteProbes, WriteProgram, names, reasons
from worker_agent.capabilities import DetectOptions, detect, recheck

Options = Callable[..., DetectOptions]
TWO = """
[probe.frob]
command = "frob"
[probe.other]
command = "other"
"""


async def test_nothing_is_run_while_files_are_the_same(
    program: WriteProgram, probes: WriteProbes, options: Options, tmp_path: Path
) -> None:
    """The file that was probed is compared, not the program run."""
    program("frob", f"echo ran >> {tmp_path}/runs; echo 1.2.3")
    probes(TWO)
    inventory = await detect(options())
    again = await recheck(inventory)
    assert again == inventory
    assert again.gone == ()
    assert (tmp_path / "runs").read_text() == "ran\n"


async def test_a_tool_that_has_gone_is_said_so(program: WriteProgram, probes: WriteProbes, options: Options) -> None:
    """Its capability is taken away, with the reason; the others stay."""
    path = program("frob", "echo 1.2.3")
    program("other", "echo 4.5.6")
    probes(TWO)
    inventory = await detect(options())
    path.unlink()
    again = await recheck(inventory, ["frob"])
    assert names(again) == ["other 4.5.6"]
    assert [item.capability.name for item in again.gone] == ["frob"]
    assert reasons(again) == {"frob": "has gone since it was found"}
    assert (await recheck(again)).gone == ()


async def test_a_tool_that_changed_is_probed_again(
    program: WriteProgram, probes: WriteProbes, options: Options
) -> None:
    """An upgrade: the old version is gone, the new one is there."""
    program("frob", "echo 1.2.3")
    probes(TWO)
    inventory = await detect(options())
    program("frob", "echo 2.0.0; # upgraded")
    again = await recheck(inventory)
    assert names(again) == ["frob 2.0.0"]
    assert [item.capability.version for item in again.gone] == ["1.2.3"]


async def test_a_tool_that_broke_is_taken_away(program: WriteProgram, probes: WriteProbes, options: Options) -> None:
    """Its file is there, but its probe fails."""
    program("frob", "echo 1.2.3")
    probes(TWO)
    inventory = await detect(options())
    program("frob", "echo cannot load library; exit 127")
    again = await recheck(inventory)
    assert names(again) == []
    assert reasons(again) == {"frob": "ended with exit code 127: cannot load library"}


async def test_only_the_names_asked_for_are_looked_at(
    program: WriteProgram, probes: WriteProbes, options: Options
) -> None:
    """A claim depends on a few capabilities; the others wait for the next detection."""
    program("frob", "echo 1.2.3").chmod(0o755)
    other = program("other", "echo 4.5.6")
    probes(TWO)
    inventory = await detect(options())
    other.unlink()
    assert names(await recheck(inventory, ["Frob"])) == ["frob 1.2.3", "other 4.5.6"]
    assert names(await recheck(inventory, ["other"])) == ["frob 1.2.3"]


async def test_what_its_file_says_nothing_about_is_run_again(
    program: WriteProgram, probes: WriteProbes, options: Options, tmp_path: Path
) -> None:
    """A daemon that stopped leaves its client where it is."""
    program("engine", f"test -e {tmp_path}/up && echo 24.0.7")
    probes("""[probe.engine]
    command = "engine"
    volatile = true""")
    (tmp_path / "up").touch()
    inventory = await detect(options())
    assert names(inventory) == ["engine 24.0.7"]
    assert names(await recheck(inventory)) == ["engine 24.0.7"]
    (tmp_path / "up").unlink()
    again = await recheck(inventory)
    assert names(again) == []
    assert [item.capability.name for item in again.gone] == ["engine"]


async def test_removals_hold_after_a_recheck(program: WriteProgram, probes: WriteProbes, options: Options) -> None:
    """--without is not forgotten when a program is probed again; nor is what a person said lost."""
    program("frob", "echo 1.2.3")
    program("other", "echo 4.5.6")
    probes(TWO)
    inventory = await detect(options(without=("frob>=2",), fixed=("lab",)))
    assert names(inventory) == ["frob 1.2.3", "lab -", "other 4.5.6"]
    program("frob", "echo 2.0.0; # upgraded")
    assert names(await recheck(inventory)) == ["lab -", "other 4.5.6"]


async def test_a_library_that_changed(
    program: WriteProgram, probes: WriteProbes, options: Options, tmp_path: Path
) -> None:
    """pkg-config's file is the evidence."""
    folder = tmp_path / "pkgconfig"
    folder.mkdir()
    program("pkg-config", f"echo {folder}")
    (folder / "frob-1.pc").write_text("Name: frob\nVersion: 1.2\n")
    (folder / "frob-2.pc").write_text("Name: frob\nVersion: 2.0\n")
    probes("""[library.frob]
    modules = ["frob-1", "frob-2"]""")
    inventory = await detect(options())
    assert names(inventory) == ["frob 1.2", "frob 2.0"]
    (folder / "frob-1.pc").write_text("Name: frob\nVersion: 1.10\n")
    os.unlink(folder / "frob-2.pc")
    again = await recheck(inventory)
    assert names(again) == ["frob 1.10"]
    assert [item.capability.version for item in again.gone] == ["1.2", "2.0"]
