"""Which tests of a change run, and which first: those that reach few functions say most of one, and are quick.

What takes long and reaches most (plays, fleets, generated inputs) is left out where there is no time for it: what only
such a test notices by chance should have a test that says it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

#: Seconds of a core that the tests of a change may take together; one that takes longer runs where there is no other.
ALL_SECONDS = 6.0
#: A fixture of theirs plays for many seconds.
SLOW_FIXTURES = ("tests/unit/agent_core/test_transitions.py", "tests/unit/bridge_core/test_transitions.py")


def nearest_first(tests: Iterable[str], reached: Mapping[str, int], busy: Mapping[str, float]) -> list[str]:
    """The tests of a function that there is time for, in the order in which they run.

    `reached`: test -> functions that it runs; `busy`: test -> seconds of a core that it takes.
    """
    ordered = sorted(tests, key=lambda test: (reached[test], busy[test], test))
    chosen: list[str] = []
    left = ALL_SECONDS
    for test in ordered:
        if busy[test] <= left:
            chosen.append(test)
            left -= busy[test]
    return chosen or ordered[:1]
