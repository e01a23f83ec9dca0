"""Which public names have a docstring. Private ones do not count, nor what is within functions or private classes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

Named = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def public(path: Path) -> Iterator[tuple[str, bool]]:
    """Of a module: "line: name" of each public class, function and method, and whether it has a docstring."""
    return _below(ast.parse(path.read_text("utf-8")))


def _below(node: ast.AST) -> Iterator[tuple[str, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Named):
            if child.name.startswith("_") or _says_so_elsewhere(child):
                continue
            yield f"{child.lineno}: {child.name}", ast.get_docstring(child) is not None
            if isinstance(child, ast.ClassDef):
                yield from _below(child)
        else:
            yield from _below(child)


def _says_so_elsewhere(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """A check of the conformance kit has its sentence in `@requirement(…)`; a setter, in its property."""
    texts = [ast.unparse(decorator) for decorator in node.decorator_list]
    return any(text.startswith("requirement(") or text.endswith(".setter") for text in texts)
