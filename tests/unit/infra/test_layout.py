"""Who may import whom: what the table in docs/architecture.md says of each folder holds for all of its modules."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.harness.imports import OURS, Graph, below, cycles, graph, reachable, sources, third_party
from tests.harness.tree import ROOT

#: A folder has some 15 modules; those that have more, and why, are in docs/architecture.md.
MODULES = 15
#: Of a module that is no test: one that grows beyond has two things in it.
LINES = 400
FILES = sources(ROOT)
FOLDERS = {name: path.parent for name, path in FILES.items() if path.name == "__init__.py"}


@cache
def imports() -> Graph:
    """Not where this module is imported: each of pytest's processes collects it, one runs it."""
    return graph(ROOT)


@dataclass(frozen=True, kw_only=True)
class Row:
    """Of the table: a folder, the first line of its docstring, what its modules may import."""

    about: str
    ours: frozenset[str]
    others: frozenset[str]


def read_table(text: str) -> dict[str, Row]:
    """By folder. "`a.b`" allows the module a.b, or the modules of that folder; those below have rows of their own."""
    rows = {}
    for line in text.splitlines():
        if match := re.fullmatch(r"\| `([\w/]+)` \| (.+) \| (.+) \| (.+) \|", line):
            folder, about, ours, others = match.groups()
            allowed = [frozenset(re.findall(r"`([\w.]+)`", cell)) for cell in (ours, others)]
            rows[folder.replace("/", ".")] = Row(about=about, ours=allowed[0], others=allowed[1])
    return rows


TABLE = read_table((ROOT / "docs/architecture.md").read_text("utf-8"))


def folder_of(module: str) -> str:
    return module if module in FOLDERS else module.rpartition(".")[0]


def forbidden(imports: Graph, table: dict[str, Row]) -> Iterator[str]:
    """A sentence for each import that the table does not allow. A folder's own modules may import each other."""
    for module, names in imports.items():
        folder = folder_of(module)
        row = table[folder]
        for name in sorted(names):
            if name in imports:
                if not {name, folder_of(name)} & {folder, *row.ours}:
                    yield f"{module} imports {name}, which {folder} may not"
            elif third_party(name) and not any(below(name, other) for other in row.others):
                yield f"{module} imports {name}, a library that {folder} does without"


def test_the_table_has_each_folder_and_says_what_its_docstring_says() -> None:
    said = {name: ast.get_docstring(ast.parse(FILES[name].read_text("utf-8"))) or "" for name in FOLDERS}
    assert {name: row.about for name, row in TABLE.items()} == {
        name: text.partition("\n")[0] for name, text in said.items()
    }
    assert [name for name, text in said.items() if "Not here: " not in text] == []


def test_no_module_imports_what_its_folder_may_not() -> None:
    assert list(forbidden(imports(), TABLE)) == []


def test_the_table_allows_nothing_that_nobody_imports() -> None:
    """So that a row cannot grow beyond what its folder needs."""
    idle = []
    for folder, row in TABLE.items():
        names = set().union(*(imports()[module] for module in imports() if folder_of(module) == folder))
        wanted = names | {folder_of(name) for name in names if name in imports()}
        idle += [f"{folder}: {name}" for name in row.ours if name not in wanted]
        idle += [f"{folder}: {name}" for name in row.others if not any(below(each, name) for each in names)]
    assert idle == []


def test_no_module_imports_itself_by_whatever_way() -> None:
    assert cycles(imports()) == []


@pytest.mark.parametrize("core", ["worker_agent.core", "master_bridge.core"])
def test_a_core_imports_contracts_and_the_standard_library(core: str) -> None:
    names = set().union(*(imports()[module] for module in imports() if below(module, core)))
    ours = {name for name in names if name in imports() and not below(name, core)}
    assert {name for name in ours if not below(name, "contracts")} == set()
    assert {name for name in names if third_party(name)} == set()


def test_contracts_import_nobody() -> None:
    names = set().union(*(imports()[module] for module in imports() if below(module, "contracts")))
    assert {name for name in names if name.partition(".")[0] in OURS and not below(name, "contracts")} == set()


def test_a_keeper_loads_the_standard_library_and_psutil() -> None:
    """Also by way of what it imports of `contracts`."""
    assert {name for name in reachable(imports(), "worker_agent.keeper") if third_party(name)} == {"psutil"}


def test_folders_are_small() -> None:
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    large = {}
    for folder in {path.parent for path in FILES.values()} | {path.parent for path in files_of_tests()}:
        count = len([path for path in folder.glob("*.py") if path.name != "__init__.py"])
        if count > MODULES:
            large[folder.relative_to(ROOT).as_posix()] = count
    reasons = dict(re.findall(r"^- `([\w/]+)` \((\d+)\): ", text, flags=re.M))
    assert {folder: str(count) for folder, count in large.items()} == reasons


def test_modules_are_short() -> None:
    folders = ("benchmarks", "conformance", "contracts", "deploy", "docs", "examples", "master_bridge", "worker_agent")
    lines = {
        path.relative_to(ROOT).as_posix(): len(path.read_text("utf-8").splitlines())
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
    }
    assert {name: count for name, count in lines.items() if count > LINES} == {}
    assert len(lines) > len(FILES)


@pytest.mark.parametrize("side", ["conformance", "master_bridge", "worker_agent"])
def test_no_two_public_classes_of_a_side_have_one_name(side: str) -> None:
    """Doubles play RabbitMQ, whose words they have: `Queue`, `Consumer`, `Publication`."""
    found = defaultdict(list)
    for module, path in FILES.items():
        if (below(module, side) or below(module, "contracts")) and not below(module, "contracts.testing"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    found[node.name].append(module)
    assert {name: modules for name, modules in found.items() if len(modules) > 1} == {}


def files_of_tests() -> list[Path]:
    return [path for place in ("tests", "benchmarks") for path in sorted((ROOT / place).rglob("*.py"))]


# -- the tests can fail -----------------------------------------------------------------------------------------------


def test_a_planted_import_is_found(tmp_path: Path) -> None:
    """Of each kind: of ours, of a library, of a library by way of ours, for types only, in a circle."""
    files = {
        "contracts/__init__.py": "",
        "contracts/plain.py": "import structlog\n",
        "worker_agent/__init__.py": "",
        "worker_agent/core/__init__.py": "",
        "worker_agent/core/machine.py": (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from worker_agent.link.door import Door\n"
        ),
        "worker_agent/keeper/__init__.py": "",
        "worker_agent/keeper/server.py": "from contracts import plain\n",
        "worker_agent/link/__init__.py": "",
        "worker_agent/link/door.py": "def later():\n    import structlog\n    from worker_agent.core import machine\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    planted = graph(tmp_path, ("contracts", "worker_agent"))
    assert list(forbidden(planted, TABLE)) == [
        "contracts.plain imports structlog, a library that contracts does without",
        "worker_agent.core.machine imports worker_agent.link.door, which worker_agent.core may not",
    ]
    assert cycles(planted) == [["worker_agent.core.machine", "worker_agent.link.door"]]
    assert {name for name in reachable(planted, "worker_agent.keeper") if third_party(name)} == {"structlog"}
