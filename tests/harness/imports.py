"""What imports what, read from the sources. Each import counts, also those for types and those inside functions."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

#: Our packages.
OURS = ("conformance", "contracts", "master_bridge", "worker_agent")

#: module -> what it imports: our modules, and of others the dotted names as they stand
Graph = Mapping[str, frozenset[str]]


def sources(root: Path, packages: tuple[str, ...] = OURS) -> dict[str, Path]:
    """Modules by their dotted names."""
    found = {}
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def graph(root: Path, packages: tuple[str, ...] = OURS) -> dict[str, frozenset[str]]:
    """Reads each module below `root`. A relative import is an error: nothing here uses them."""
    modules = sources(root, packages)
    return {name: frozenset(_imported(path.read_text("utf-8"), modules)) for name, path in modules.items()}


def _imported(text: str, modules: Mapping[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"a relative import in line {node.lineno}"
            assert not node.level, f"a relative import in line {node.lineno}"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                ours = node.module.partition(".")[0] in OURS
                yield full if full in modules or not ours else node.module


def below(name: str, place: str) -> bool:
    """Is `name` the module or folder `place`, or in it?"""
    return name == place or name.startswith(f"{place}.")


def third_party(name: str) -> bool:
    top = name.partition(".")[0]
    return top not in OURS and top not in sys.stdlib_module_names and top != "__future__"


def reachable(imports: Graph, start: str) -> set[str]:
    """All that is loaded with the modules below `start`: they, what they import, their packages, and so on."""
    todo = [name for name in imports if below(name, start)]
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        parts = name.split(".")
        packages = (".".join(parts[:length]) for length in range(1, len(parts)))
        todo.extend([*imports.get(name, ()), *(package for package in packages if package in imports)])
    return seen


def cycles(imports: Graph) -> list[list[str]]:
    """Groups of modules that import each other, by whatever way (strongly connected components, Tarjan)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        number[name] = lowest[name] = len(number)
        stack.append(name)
        for other in sorted(imports[name] & imports.keys()):
            if other not in number:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in stack:
                lowest[name] = min(lowest[name], number[other])
        if lowest[name] == number[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1 or name in imports[name]:
                found.append(sorted(group))

    for name in imports:
        if name not in number:
            visit(name)
    return found
