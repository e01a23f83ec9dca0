"""Where a module leans on private names of Buildbot's, read from its source and from Buildbot's own classes."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

#: Functions that take an attribute's name as a text.
_BY_NAME = ("getattr", "setattr", "hasattr", "delattr")
_OWN = ("self", "cls")


def private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def private_uses(text: str) -> Iterator[tuple[int, str]]:
    """(line, what) of each use in a module's source: of another object's private name, or of an inherited one."""
    tree = ast.parse(text)
    theirs, bases = dict(_imported(tree, ("buildbot",))), dict(_imported(tree, ("buildbot", "master_bridge")))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("buildbot"):
            for alias in node.names:
                if any(private(part) for part in f"{node.module}.{alias.name}".split(".")):
                    yield node.lineno, f"imports {node.module}.{alias.name}"
        elif isinstance(node, ast.Attribute):
            yield from _attribute(node, theirs)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _BY_NAME:
            name = node.args[1] if len(node.args) > 1 else None
            if isinstance(name, ast.Constant) and private(str(name.value)):
                yield node.lineno, f"{node.func.id} of {name.value!s}"
        elif isinstance(node, ast.ClassDef):
            yield from _inherited(node, bases)


def _attribute(node: ast.Attribute, imported: dict[str, str]) -> Iterator[tuple[int, str]]:
    own = isinstance(node.value, ast.Name) and node.value.id in _OWN
    if private(node.attr) and not own:
        yield node.lineno, ast.unparse(node)
    replaced = isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name) and node.value.id in imported
    if replaced:
        yield node.lineno, f"replaces {ast.unparse(node)}"


def _inherited(node: ast.ClassDef, imported: dict[str, str]) -> Iterator[tuple[int, str]]:
    """Private names of its own that one of Buildbot's base classes has, too."""
    theirs: set[str] = set()
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in imported:
            theirs |= _names_of(imported[base.id])
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name) and inner.value.id in _OWN:
            name = inner.attr
        elif isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)):
            name = inner.name
        else:
            continue
        if private(name) and name in theirs:
            yield inner.lineno, f"{node.name}.{name} is also Buildbot's"


def _imported(tree: ast.Module, packages: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """What a module has of these: the name here, the dotted name there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in packages:
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)


def _names_of(dotted: str) -> set[str]:
    """Private names of a class of Buildbot's and of those that it is made of: what they have, and what they set."""
    module, _, name = dotted.rpartition(".")
    found: object = getattr(import_module(module), name, None)
    if isinstance(found, ModuleType) or not inspect.isclass(found):
        return set()
    names: set[str] = set()
    for each in found.__mro__:
        if each.__module__.startswith("buildbot"):
            names |= {known for known in vars(each) if private(known)}
            names |= set(re.findall(r"\bself\.(_[A-Za-z]\w*)", inspect.getsource(each)))
    return {known for known in names if private(known)}
