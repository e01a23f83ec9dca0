"""Which tests of a change run, and which first: those that reach few functions say most of one, and are quick.

What takes long and reaches most (plays, fleets, generated inputs) is left out where there is no time for it: what only
such a test notices by chance should have a test that says it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from math import inf

#: Tests of the first stage, and the seconds that they may take together.
FIRST = 40
FIRST_SECONDS = 2.0
#: Those that the tests of both stages may take together; one test that takes longer runs where there is no other.
ALL_SECONDS = 3.0
#: A fixture of theirs plays for many seconds, which mutmut counts as no test's time.
SLOW_FIXTURES = ("tests/unit/agent_core/test_transitions.py", "tests/unit/bridge_core/test_transitions.py")


def reaches(tests_by_function: Mapping[str, Collection[str]]) -> Counter[str]:
    """How many functions each test runs."""
    return Counter(test for tests in tests_by_function.values() for test in tests)


def is_left_out(test: str, seconds: Mapping[str, float]) -> bool:
    """It takes too long, unless there is no other."""
    return test.startswith(SLOW_FIXTURES) or seconds.get(test, 0.0) > ALL_SECONDS


def stages(
    tests: Iterable[str], reached: Mapping[str, int], seconds: Mapping[str, float]
) -> tuple[list[str], list[str]]:
    """The tests of a function in two parts: the second is for changes that the first does not notice.

    `reached`: test -> functions that it runs; `seconds`: test -> what it takes.
    """
    takes = {test: inf if is_left_out(test, seconds) else seconds.get(test, 0.0) for test in tests}
    ordered = sorted(takes, key=lambda test: (reached.get(test, 0), takes[test], test))
    first: list[str] = []
    left = FIRST_SECONDS
    for test in ordered:
        if len(first) < FIRST and takes[test] <= left:
            first.append(test)
            left -= takes[test]
    chosen = set(first)
    second: list[str] = []
    left += ALL_SECONDS - FIRST_SECONDS
    for test in ordered:
        if test not in chosen and (takes[test] <= left or not chosen):
            second.append(test)
            chosen.add(test)
            left -= takes[test]
    return first, second
