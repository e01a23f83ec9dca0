"""The changes: mutmut makes them, and keeps what became of each, in `mutants/`.

- A text is changed once, not three times: who notices one change of it notices the others. False is not made None,
  which is false as well.
- What no test noticed is tried anew with each run, unless it is explained: there may be a test by now. Other results
  stand, also where names of changes are given.
- The changes of all files are tried in one mixed order: what a run that is stopped has tried is a fair sample.
"""

from __future__ import annotations

import fnmatch
import hashlib
import io
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import redirect_stdout
from itertools import islice
from pathlib import Path
from typing import Any

import libcst
from mutmut import __main__ as program
from mutmut.mutation import diff_apply, mutators
from mutmut.mutation.data import SourceFileMutationData
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import walk_mutatable_files, walk_source_files

from tests.harness.tree import ROOT
from tests.mutation.survivors import UNNOTICED, UNTRIED, change_of

#: Where changed modules are, and the tests that run on them.
MUTANTS = ROOT / "mutants"

# ---- what is changed


def _text_once(node: Any) -> Iterator[Any]:
    yield from islice(mutators.operator_string(node), 1)


def _assignment(node: Any) -> Iterator[Any]:
    if not (isinstance(node.value, libcst.Name) and node.value.value == "False"):
        yield from mutators.operator_assignment(node)


_OURS: dict[Any, Any] = {mutators.operator_string: _text_once, mutators.operator_assignment: _assignment}
mutators.mutation_operators[:] = [
    (kind, _OURS.get(operator, operator)) for kind, operator in mutators.mutation_operators
]


def make(jobs: int) -> None:
    """Write all changes of all modules into `mutants/`, as far as they are not there, beside everything else."""
    shutil.rmtree(MUTANTS / "tests", ignore_errors=True)
    with redirect_stdout(io.StringIO()):  # where mutmut names each file
        program.copy_src_dir()
        program.copy_also_copy_files()
        program.create_mutants(jobs)
    sources = {MUTANTS / path for path in walk_source_files()}
    for folder in {MUTANTS / path.parts[0] for path in walk_source_files()}:
        for path in folder.rglob("*.py"):
            if path not in sources:
                path.unlink()


# ---- what became of it


class Results:
    """Of the last run and those before it: of each change its status, in mutmut's words."""

    def __init__(self) -> None:
        self._by_path = {path: _load(path) for path in walk_mutatable_files()}
        self._files = {name: data for data in self._by_path.values() for name in data.exit_code_by_key}
        self._unsaved: set[Path] = set()

    def statuses(self) -> dict[str, str]:
        """Name of a mutant -> status."""
        return {name: status_by_exit_code[data.exit_code_by_key[name]] for name, data in self._files.items()}

    def untried(self, names: Collection[str], known: Mapping[str, str]) -> list[str]:
        """Those of `names` (all, where there are none) that are to be tried, in a mixed order; `known`: explained."""
        statuses = self.statuses()
        noticed_by_nobody = changes(statuses, UNNOTICED)
        wanted = [
            name
            for name, status in statuses.items()
            if (not names or any(fnmatch.fnmatch(name, each) for each in names))
            and (status == UNTRIED or noticed_by_nobody.get(name, next(iter(known), "")) not in known)
        ]
        return sorted(wanted, key=lambda name: hashlib.sha256(name.encode()).hexdigest())

    def record(self, name: str, exit_status: int) -> None:
        """What a trial came to, as mutmut numbers it."""
        data = self._files[name]
        data.exit_code_by_key[name] = exit_status
        self._unsaved.add(Path(data.path))

    def save(self) -> None:
        """Those recorded since the last time, on disk."""
        while self._unsaved:
            self._by_path[self._unsaved.pop()].save()


def changes(statuses: Mapping[str, str], of: Iterable[str]) -> dict[str, str]:
    """Mutants with one of these statuses: name -> `change_of` it."""
    wanted = set(of)
    paths = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in walk_mutatable_files()}
    return {
        name: change_of(name, diff_apply.get_diff_for_mutant(name, path=paths[name.rpartition(".")[0]]))
        for name, status in statuses.items()
        if status in wanted
    }


def _load(path: Path) -> SourceFileMutationData:
    data = SourceFileMutationData(path=path)
    data.load()
    return data
