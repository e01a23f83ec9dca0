"""What docs/troubleshooting.md quotes is what the programs say today."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.harness.tree import ROOT

PAGE = ROOT / "docs" / "troubleshooting.md"
PACKAGES = ("conformance", "contracts", "master_bridge", "worker_agent")
#: What stands for something else in a quotation, and in a string of the sources.
ELLIPSIS, VALUE = "…", "\0"
#: The name of an event in a log.
EVENT = re.compile(r"[a-z]+[._][a-z_.]+|draining|paus(ed|ing)|unwell")
#: Code, also such with backticks in it.
CODE = re.compile(r"`` (.+?) ``|`([^`]+)`")


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(VALUE if isinstance(part, ast.FormattedValue) else _text(part) for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


@cache
def said() -> frozenset[str]:
    """All strings of the sources but docstrings, with `VALUE` for what is put into them."""
    found: set[str] = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
            docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
            strings = [node for node in nodes if isinstance(node, (ast.JoinedStr, ast.Constant))]
            found |= {_text(node) for node in strings if id(node) not in docstrings}
    return frozenset(found)


def is_said(quotation: str) -> bool:
    """A string of the sources has the pieces between the ellipses, in that order; an event is one as a whole."""
    if EVENT.fullmatch(quotation):
        return quotation in said()
    return any(_has(text, quotation.split(ELLIPSIS)) for text in said())


def _has(text: str, pieces: list[str]) -> bool:
    at = 0
    for piece in pieces:
        at = text.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return True


def quotations() -> list[str]:
    """Code in the first column of the tables of symptoms."""
    rows = PAGE.read_text(encoding="utf-8").partition("\n## ")[2].splitlines()
    columns = [row.split(" | ")[0] for row in rows if row.startswith("| ")]
    return list(dict.fromkeys(one or other for column in columns for one, other in CODE.findall(column)))


@pytest.mark.parametrize("quotation", quotations())
def test_a_quoted_message_is_in_the_sources(quotation: str) -> None:
    """Whoever changes a message changes the page."""
    assert is_said(quotation), f"no program says {quotation!r}: correct {PAGE.relative_to(ROOT)}"


def test_the_page_quotes_many() -> None:
    """The table is read at all."""
    assert len(quotations()) > 80


def test_a_message_that_nobody_says_is_found() -> None:
    """Neither a wrong word nor a wrong order passes."""
    assert is_said("nothing listens at … (connection refused)")
    assert not is_said("nothing listens at … (connection denied)")
    assert not is_said("(connection refused) nothing listens at …")
    assert is_said("amqp.link_down")
    assert not is_said("amqp.link_dow")
