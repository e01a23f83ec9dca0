"""Generated tests repeat themselves with `make test`, and search on with `make test-long`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.generated import VARIABLE

ROOT = Path(__file__).parents[3]
TESTS = """
import pytest
from hypothesis import given, settings, strategies as st
from tests.generated import examples, seeds

@given(st.integers())
def test_drawn(number):
    with open({drawn!r}, "a") as file:
        print(number, file=file)
    assert {well}

@settings(max_examples=examples(3))
@given(st.integers())
def test_few(number):
    with open({drawn!r}, "a") as file:
        print("few", number, file=file)
    assert {well}

@pytest.mark.generated
@pytest.mark.parametrize("seed", seeds(2))
def test_played(seed):
    with open({drawn!r}, "a") as file:
        print("seed", seed, file=file)
    assert {well}
"""


#: those of them that have few examples: most runs need no others
FEW = ("-k", "few or played")


def run(folder: Path, seed: str = "", *which: str, well: bool = True) -> tuple[list[str], str]:
    """What was drawn, and what pytest said. `which`: pytest's arguments that choose some of the tests."""
    drawn = folder / "drawn"
    drawn.write_text("")
    (folder / "test_some.py").write_text(TESTS.format(drawn=str(drawn), well=well))
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-m", "generated"]
    ran = subprocess.run(
        [*command, *which, "-c", str(ROOT / "pyproject.toml"), str(folder)],
        cwd=ROOT, env={**os.environ, VARIABLE: seed}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == (0 if well else 1), ran.stdout + ran.stderr
    return drawn.read_text().splitlines(), ran.stdout


def test_without_a_seed_the_examples_are_the_same_each_time(tmp_path: Path) -> None:
    first, said = run(tmp_path, "", *FEW)
    assert (first, "fixed examples" in said) == (run(tmp_path, "", *FEW)[0], True)
    assert first[-2:] == ["seed 0", "seed 1"]


@pytest.mark.long
def test_a_seed_gives_other_examples_and_the_same_again(tmp_path: Path) -> None:
    seven, said = run(tmp_path, "7", *FEW)
    assert f"{VARIABLE}=7" in said
    assert seven == run(tmp_path, "7", *FEW)[0]
    assert seven != run(tmp_path, "8", *FEW)[0]


@pytest.mark.long
def test_a_seed_gives_more_examples(tmp_path: Path) -> None:
    """Also of tests that do not say how many."""
    assert len(run(tmp_path, "7")[0]) > 10 * len(run(tmp_path)[0])


def test_a_failure_tells_the_seed(tmp_path: Path) -> None:
    said = run(tmp_path, "7", *FEW, well=False)[1]
    for name in ("test_few", "test_played"):
        assert any(f"{VARIABLE}=7" in line and name in line for line in said.splitlines())
