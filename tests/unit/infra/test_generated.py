"""Generated tests repeat themselves with `make test`, and search on with `make test-long`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.generated import VARIABLE

ROOT = Path(__file__).parents[3]
TESTS = """
import pytest
from hypothesis import given, strategies as st
from tests.generated import seeds

@given(st.integers())
def test_drawn(number):
    with open({drawn!r}, "a") as file:
        print(number, file=file)
    assert {well}

@pytest.mark.generated
@pytest.mark.parametrize("seed", seeds(2))
def test_played(seed):
    with open({drawn!r}, "a") as file:
        print("seed", seed, file=file)
    assert {well}
"""


def run(folder: Path, seed: str = "", *, well: bool = True) -> tuple[list[str], str]:
    """What was drawn, and what pytest said."""
    drawn = folder / "drawn"
    drawn.write_text("")
    (folder / "test_some.py").write_text(TESTS.format(drawn=str(drawn), well=well))
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-m", "generated"]
    ran = subprocess.run(
        [*command, "-c", str(ROOT / "pyproject.toml"), str(folder)],
        cwd=ROOT, env={**os.environ, VARIABLE: seed}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == (0 if well else 1), ran.stdout + ran.stderr
    return drawn.read_text().splitlines(), ran.stdout


def test_without_a_seed_the_examples_are_the_same_each_time(tmp_path: Path) -> None:
    first, said = run(tmp_path)
    assert (first, "fixed examples" in said) == (run(tmp_path)[0], True)
    assert first[-2:] == ["seed 0", "seed 1"]


def test_a_seed_gives_other_examples_and_more_and_the_same_again(tmp_path: Path) -> None:
    usual = run(tmp_path)[0]
    seven, said = run(tmp_path, "7")
    assert f"{VARIABLE}=7" in said
    assert seven == run(tmp_path, "7")[0]
    assert seven != run(tmp_path, "8")[0]
    assert len(seven) > 10 * len(usual)


def test_a_failure_tells_the_seed(tmp_path: Path) -> None:
    said = run(tmp_path, "7", well=False)[1]
    for name in ("test_drawn", "test_played"):
        assert any(f"{VARIABLE}=7" in line and name in line for line in said.splitlines())
