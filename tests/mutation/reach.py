"""Which tests reach which functions, and how long each takes: on code as it is.

What was measured is kept in a file, by test file, for as long as that, its folder's helpers and the modules of which
functions are changed stay the same.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mutation.nearest import SLOW_FIXTURES, nearest_first

#: Seconds that the tests of one file may take.
LONGEST = 300.0

#: Of tests: each beside what was seen of it, `{"seconds": 0.2, "busy": 0.1, "functions": ["contracts.codec.x_read"]}`.
Seen = dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Reach:
    """`tests`: mangled name of a function -> tests that run it; `reached`: test -> number of functions it runs.

    `seconds`: test -> what it takes; `busy`: as far as it does not sleep.
    """

    tests: dict[str, set[str]]
    reached: dict[str, int]
    seconds: dict[str, float]
    busy: dict[str, float]

    def nearest(self, mutant: str) -> list[str]:
        """Tests of what the mutant changes, in the order in which they run."""
        return nearest_first(self.tests.get(mutant.partition("__mutmut_")[0], ()), self.reached, self.busy)


def measured(
    tests: Iterable[str], measure: Callable[[list[list[str]]], Iterator[Seen]], kept: Path, code: Iterable[Path]
) -> Reach:
    """What `kept` says of `tests`, completed and written anew.

    `code`: modules of which functions are changed. `measure`: tests by file -> what was seen of each file's; raises
    where one fails.
    """
    files: defaultdict[str, list[str]] = defaultdict(list)
    for test in tests:
        if not test.startswith(SLOW_FIXTURES):
            files[test.partition("::")[0]].append(test)
    before: dict[str, Any] = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    around = _digest(sorted(code))
    digests = {file: f"{around} {_digest(_beside(Path(file)))}" for file in files}
    same = {file for file in files if before.get(file, {}).get("digest") == digests[file]}
    known = {file: before[file] for file in same}
    try:
        for seen in measure([tests for file, tests in files.items() if file not in same]):
            file = next(iter(seen)).partition("::")[0]
            known[file] = {"digest": digests[file], "tests": seen}
    finally:
        kept.write_text(json.dumps(known), "utf-8")
    return _reach({test: seen for file in known.values() for test, seen in file["tests"].items()})


def _reach(seen: Seen) -> Reach:
    tests: defaultdict[str, set[str]] = defaultdict(set)
    for test, each in seen.items():
        for function in each["functions"]:
            tests[function].add(test)
    return Reach(
        tests=dict(tests),
        reached={test: len(each["functions"]) for test, each in seen.items()},
        seconds={test: each["seconds"] for test, each in seen.items()},
        busy={test: each["busy"] for test, each in seen.items()},
    )


def _beside(file: Path) -> list[Path]:
    """It, and its folder's helpers."""
    return [file, *sorted(path for path in file.parent.glob("*.py") if not path.name.startswith("test_"))]


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file}\n".encode() + file.read_bytes())
    return digest.hexdigest()
