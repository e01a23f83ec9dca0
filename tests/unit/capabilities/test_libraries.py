"""C libraries: through pkg-config's files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.capabilities.conftest import WriteProbes, WriteProgram, names, reasons
from worker_agent.capabilities import DetectOptions, Inventory, detect
from worker_agent.capabilities.libraries import probe_libraries
from worker_agent.capabilities.probe_files import load
from worker_agent.capabilities.programs import Programs

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


#: The number in the `.pc` file of each, the headers that a compiler would see, and what is to be told (Debian 12 and
#: Ubuntu 22.04; each release of these has such a second number).
OTHER_NUMBERS = {
    "freetype2": (
        "includedir=${prefix}/include\nVersion: 24.3.18\nCflags: -I${includedir}/freetype2\n",
        {
            "include/freetype2/freetype/freetype.h": "/* " + "x" * 170_000 + " */\n"
            "#define FREETYPE_MAJOR  2\n#define FREETYPE_MINOR  12\n#define FREETYPE_PATCH  1\n"
        },
        ["freetype 2.12.1"],
    ),
    "mysqlclient": (
        "includedir=${prefix}/include/mysql\nVersion: 21.2.35\nCflags: -I${includedir} \n",
        {"include/mysql/mysql_version.h": '#define LIBMYSQL_VERSION "8.0.35"\n#define LIBMYSQL_VERSION_ID 80035\n'},
        ["mysqlclient 8.0.35"],
    ),
    "gl": ("Version: 1.2\n", {}, ["opengl -"]),
    "grpc": ("Version: 29.0.0\n", {}, []),
    "grpc++": ("Version: 1.51.1\n", {}, ["grpc 1.51.1"]),
}


@pytest.mark.parametrize("module", OTHER_NUMBERS)
@pytest.mark.parametrize("headers", ["there", "missing", "older"])
async def test_the_version_is_the_librarys_and_not_another_number(
    program: WriteProgram, tools: Path, tmp_path: Path, module: str, headers: str
) -> None:
    """Libtool's, the interface's, the shared library's. Where only such a number can be had the version is unknown."""
    text, files, told = OTHER_NUMBERS[module]
    folder = tmp_path / "pc"
    folder.mkdir()
    (folder / f"{module}.pc").write_text(f"prefix={tmp_path}\n{text}")
    if headers != "missing":
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(parents=True)
            (tmp_path / name).write_text(content if headers == "there" else "/* of a release that says nothing */\n")
    if files and headers != "there":
        told = [f"{entry.split()[0]} -" for entry in told]
    program("pkg-config", f"echo {folder}")
    options = DetectOptions(path=f"{tools}", folders=())
    evidence, failures = await probe_libraries(load(()).libraries, Programs(options.search_path), options)
    assert names(Inventory(evidence=tuple(evidence))) == told
    assert not failures


def test_a_header_wants_an_expression_with_a_group(tmp_path: Path) -> None:
    """Said with the file and the place."""
    (tmp_path / "wrong.toml").write_text('[library.frob]\nmodules = ["frob"]\nheader = "frob.h"\n')
    [(_, reason)] = load((tmp_path,)).errors
    assert "header_version" in reason
