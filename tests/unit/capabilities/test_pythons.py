"""Pythons and what they can import."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.capabilities.conftest import WriteProbes, WriteProgram, names, reasons
from worker_agent.capabilities import DetectOptions, detect

Options = Callable[..., DetectOptions]
VERSION = "{}.{}.{}".format(*sys.version_info)
SERIES = "{}.{}".format(*sys.version_info)


@pytest.fixture
def snake(program: WriteProgram, tmp_path: Path) -> Path:
    """A Python on PATH that has the modules of the folder it returns."""
    modules = tmp_path / "modules"
    modules.mkdir()
    program("snake", f'PYTHONPATH={modules} exec {sys.executable} "$@"')
    return modules


async def test_version_and_modules(snake: Path, probes: WriteProbes, options: Options) -> None:
    """A module is announced plainly and under its interpreter; one that is not there is no failure."""
    (snake / "frob.py").write_text("__version__ = '4.2.0'")
    (snake / "tuple_.py").write_text("version = (1, 2)")
    (snake / "bare.py").write_text("print('I talk at import')")
    (snake / "empty_folder").mkdir()
    probes("""
    [probe.python]
    command = "snake"
    python = true
    [module.frob]
    import = "frob"
    [module.numbers]
    import = "tuple_"
    [module.bare]
    import = "bare"
    [module.absent]
    import = "no_such_module"
    [module.absent-part]
    import = "no_such_module.part"
    [module.folder]
    import = "empty_folder"
    """)
    inventory = await detect(options())
    assert names(inventory) == [
        "bare -", "frob 4.2.0", "numbers 1.2", f"python {VERSION}",
        f"python{SERIES}-bare -", f"python{SERIES}-frob 4.2.0", f"python{SERIES}-numbers 1.2",
    ]  # fmt: skip
    assert inventory.failures == ()
    assert {item.how for item in inventory.evidence} == {"command", "python module"}


async def test_a_module_that_cannot_be_imported_is_a_failure(
    snake: Path, probes: WriteProbes, options: Options
) -> None:
    """Installed is not importable; the reason is what a build would have met."""
    (snake / "broken.py").write_text("import no_such_part_of_it")
    (snake / "raises.py").write_text("raise RuntimeError('no display')")
    (snake / "exits.py").write_text("import sys; sys.exit('no licence')")
    (snake / "good.py").write_text("__version__ = '1.0'")
    probes("""
    [probe.python]
    command = "snake"
    python = true
    [module.broken]
    import = "broken"
    [module.raises]
    import = "raises"
    [module.exits]
    import = "exits"
    [module.good]
    import = "good"
    """)
    inventory = await detect(options())
    assert names(inventory) == ["good 1.0", f"python {VERSION}", f"python{SERIES}-good 1.0"]
    assert [failure.reason.split(": ", 1)[0] for failure in inventory.failures] == [
        "import broken", "import raises", "import exits",
    ]  # fmt: skip
    assert "no_such_part_of_it" in inventory.failures[0].reason
    assert "no display" in inventory.failures[1].reason


async def test_a_module_that_hangs_costs_only_what_comes_after_it(
    snake: Path, probes: WriteProbes, options: Options
) -> None:
    """The interpreter itself and the modules before are known."""
    (snake / "first.py").write_text("__version__ = '1.0'")
    (snake / "hangs.py").write_text("import time; time.sleep(600)")
    probes("""
    [probe.python]
    command = "snake"
    python = true
    timeout = 3.0
    [module.first]
    import = "first"
    [module.hangs]
    import = "hangs"
    """)
    inventory = await detect(options())
    assert names(inventory) == ["first 1.0", f"python {VERSION}", f"python{SERIES}-first 1.0"]
    assert reasons(inventory)["python"] == "did not end within 3 s; the modules that come after are not known"


async def test_a_heavy_module_is_looked_for_only(snake: Path, probes: WriteProbes, options: Options) -> None:
    """Importing some libraries takes seconds."""
    (snake / "heavy.py").write_text("raise SystemExit('was imported')")
    probes("""
    [probe.python]
    command = "snake"
    python = true
    [module.heavy]
    import = "heavy"
    heavy = true
    [module.heavier]
    import = "no_such_module"
    heavy = true
    """)
    inventory = await detect(options())
    assert names(inventory) == ["heavy -", f"python {VERSION}", f"python{SERIES}-heavy -"]
    assert inventory.failures == ()


async def test_the_agents_own_environment_is_not_for_builds(probes: WriteProbes, options: Options) -> None:
    """Its virtual environment is left out of PATH, so its modules are not announced."""
    if sys.prefix == sys.base_prefix:
        pytest.fail("run the tests in a virtual environment: this one is about it")
    probes("""[probe.python]
    command = "python"
    python = true""")
    inventory = await detect(options(path=f"{sys.prefix}/bin"))
    assert inventory.evidence == ()


async def test_something_else_called_python(program: WriteProgram, probes: WriteProbes, options: Options) -> None:
    """A failure, whatever it prints."""
    program("snake", "echo 'python 9.9.9'; exit 1")
    probes("""[probe.python]
    command = "snake"
    python = true""")
    inventory = await detect(options())
    assert inventory.evidence == ()
    assert reasons(inventory) == {"python": "ended with exit code 1: python 9.9.9"}
