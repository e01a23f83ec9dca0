"""C libraries: through pkg-config's files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.unit.capabilities.conftest import WriteProbes, WriteProgram, names, reasons
from worker_agent.capabilities import DetectOptions, detect

Options = Callable[..., DetectOptions]
GTK = """[library.gtk]
modules = ["gtk+-2.0", "gtk+-3.0", "gtk4"]"""


async def test_each_module_is_a_version(
    program: WriteProgram, probes: WriteProbes, options: Options, tmp_path: Path
) -> None:
    """gtk+-2.0 and gtk+-3.0 are two versions of gtk; variables in the file are put in."""
    folder = tmp_path / "pkgconfig"
    folder.mkdir()
    program("pkg-config", f"echo /no/such/folder:{folder}")
    (folder / "gtk+-2.0.pc").write_text("prefix=/usr\n\nName: GTK+\nVersion: 2.24.33\n")
    (folder / "gtk+-3.0.pc").write_text("minor=24\nfull=3.${minor}\nName: GTK+\nVersion: ${full}.38\n")
    probes(GTK)
    inventory = await detect(options())
    assert names(inventory) == ["gtk 2.24.33", "gtk 3.24.38"]
    second = inventory.evidence[1]
    assert second.path == str(folder / "gtk+-3.0.pc")
    assert second.command == "pkg-config --modversion gtk+-3.0"
    assert second.line == "Version: ${full}.38"


async def test_odd_files(program: WriteProgram, probes: WriteProbes, options: Options, tmp_path: Path) -> None:
    """No version is a capability without one; a circle of variables ends; nonsense is a failure."""
    folder = tmp_path / "pkgconfig"
    folder.mkdir()
    program("pkg-config", f"echo {folder}")
    (folder / "gtk+-2.0.pc").write_text("Name: GTK+\n")
    (folder / "gtk+-3.0.pc").write_text("a=${b}\nb=${a}\nName: GTK+\nVersion: ${a}\n")
    (folder / "gtk4.pc").write_text("Name: GTK\nVersion: " + "9" * 300 + "\n")
    probes(GTK)
    inventory = await detect(options())
    assert "gtk -" in names(inventory)
    assert len(inventory.failures) == 1 or len(names(inventory)) == 1


async def test_without_pkg_config_nothing_is_claimed(tools: Path, probes: WriteProbes, options: Options) -> None:
    """A build would not find the library either."""
    probes(GTK)
    inventory = await detect(options(path=str(tools)))
    assert inventory.evidence == ()
    assert inventory.failures == ()


async def test_a_pkg_config_that_fails_is_told(program: WriteProgram, probes: WriteProbes, options: Options) -> None:
    """One failure, not one for each library."""
    program("pkg-config", "exit 7")
    probes(GTK)
    assert reasons(await detect(options())) == {"pkg-config": "does not say where it looks (exit code 7)"}
