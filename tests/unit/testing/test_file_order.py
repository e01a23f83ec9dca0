"""Files of tests that take long are given out first, whatever else they are."""

from __future__ import annotations

from tests.file_order import file_of, longest_first, measured, read, write

TIMES = {"tests/broker/test_a.py": 3.0, "tests/buildbot/test_b.py": 90.0, "tests/unit/test_c.py": 20.0}


def test_what_takes_longest_comes_first() -> None:
    """New tests with real parts come before all, new unit tests and quick ones last, in the order they came in."""
    new = ["tests/faults/test_new.py", "tests/broker/test_new.py"]
    unit = ["tests/unit/test_y.py", "tests/unit/test_x.py"]
    assert longest_first([*unit, *sorted(TIMES), *unit, *new], TIMES) == [
        *new, "tests/buildbot/test_b.py", "tests/unit/test_c.py", "tests/broker/test_a.py", *unit,
    ]  # fmt: skip


def test_times_are_written_as_they_are_read() -> None:
    assert read(write({**TIMES, "tests/unit/test_quick.py": 0.4})) == TIMES


def test_a_run_measures_the_files_that_it_ran() -> None:
    """Set-up, call and teardown together; others keep what they had, those that were deleted go."""
    assert file_of("tests/unit/test_c.py::test_it[a::b]") == "tests/unit/test_c.py"
    durations = [("tests/unit/test_c.py::test_it", 1.0), ("tests/unit/test_c.py::test_it[a::b]", 0.5)]
    there = ["tests/unit/test_c.py", "tests/broker/test_a.py"]
    assert measured(TIMES, durations, there) == {"tests/unit/test_c.py": 1.5, "tests/broker/test_a.py": 3.0}
