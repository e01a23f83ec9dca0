"""Pages, docstrings and log events are in plain words: what had to be decoded once does not come back."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.docstrings import public
from tests.harness.imports import sources
from tests.harness.tree import ROOT, project_files

#: What was meant is said in the second column. Tables of results that tests record are theirs.
DECODED = {
    r"\blast words?\b": "last messages, last line",
    r"\bstands? still\b": "waits, does not answer",
    r"\bhardly\b": "almost never, in few cases",
    r"\bbroom\b": "cleaning up",
    r"\bof (the bridge's|its) accord\b": "by itself",
    r"\bghost\b": "a connection that the broker has not given up yet",
    r"\bhot loop\b": "again and again",
    r"\b(buries|buried|bury)\b": "put into `dead`",
    r"\bthis house\b": "this code",
    r"\bdeaf\b": "does not read",
    r"\bnever mind\b": "do not check",
    r"\bdead letter\b(?! exchange)": "message in `dead`",
}
PAGES = [name for name in project_files() if name.endswith(".md") and not name.startswith(("news/", "benchmarks/"))]
#: The programs. Their tests are not for those who run or call them.
SOURCES = [
    name
    for name in project_files()
    if name.endswith(".py") and name.startswith(("conformance/", "contracts/", "master_bridge/", "worker_agent/"))
]
#: Words that tell an operator nothing of what happened: an event is named by the standard term instead.
UNCLEAR_EVENT = r"untold|remembered|nonsense|able_any_more|aside|heard|letter|buried|bury|believed|trusted|well|broken"
#: Things that an event may be about; its name says what happened to them.
THINGS = {"agent", "catalogue", "info", "link", "master", "metrics", "queue", "queues", "session", "traces"}
#: They name states that docs/glossary.md explains, or what an operator gave.
KEPT = {"trusted_keys_loaded", "well_again"}
LEVELS = {"debug", "info", "warning", "error", "exception", "alarm"}
RECORDED = ("CHANGELOG.md", "docs/faults.md", "docs/parity.md")


@pytest.mark.parametrize("name", [page for page in PAGES if page not in RECORDED])
def test_a_page_has_no_word_that_must_be_decoded(name: str) -> None:
    text = re.sub(r"^<!-- table .*?^<!-- end of table", "", (ROOT / name).read_text("utf-8"), flags=re.M | re.S)
    found = {match[0]: plain for words, plain in DECODED.items() for match in re.finditer(words, text, flags=re.I)}
    assert found == {}


#: In docstrings and comments of the programs, beside those of `DECODED`.
DECODED_IN_SOURCES = {
    r"\bof one's own accord\b": "unasked",
    r"\bdoes not speak\b": "does not know (a version)",
    r"\bheeds?\b": "obeys",
    r"\bfarewells?\b": "`gone`, ended sessions",
    r"\bvouch(es)?\b": "verifies, proves",
    r"(?<!dead )\bletters? (is|are|was|that|which)\b": "message",
    r"\bin trouble\b": "fails",
    r"\bmend\b": "repair",
}


def prose(text: str) -> Iterator[str]:
    """The comments and docstrings of a module."""
    docstrings = {
        node.value.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and token.start[0] in docstrings):
            yield token.string


@pytest.mark.parametrize("name", SOURCES)
def test_a_docstring_or_comment_has_no_word_that_must_be_decoded(name: str) -> None:
    decoded = DECODED | DECODED_IN_SOURCES
    text = "\n".join(prose((ROOT / name).read_text("utf-8")))
    assert {match[0]: plain for words, plain in decoded.items() for match in re.finditer(words, text, re.I)} == {}


def test_prose_is_what_people_read_in_a_module() -> None:
    assert list(prose('"""Doc."""\nword = "not this"  # remark\n')) == ['"""Doc."""', "# remark"]


def events(tree: ast.AST) -> Iterator[str]:
    """What is logged, or told as an alarm, under a literal name."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in LEVELS
            and node.args
        ):
            owner = node.func.value
            first = node.args[0]
            if isinstance(owner, ast.Name) and owner.id in ("log", "state", "context"):
                for constant in ast.walk(first):
                    if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
                        yield constant.value


@pytest.mark.parametrize("name", SOURCES)
def test_a_log_event_is_named_by_what_happened(name: str) -> None:
    for event in events(ast.parse((ROOT / name).read_text("utf-8"))):
        assert re.fullmatch(r"(amqp\.)?[a-z]+(_[a-z]+)*", event), f"{event!r}: lower case, words joined by _"
        unclear = re.search(rf"(^|[._])({UNCLEAR_EVENT})(_|$)", event)
        assert unclear is None or event in KEPT, f"{event!r}: {unclear} must be decoded"
        assert event.removeprefix("amqp.") not in THINGS, f"{event!r}: what happened to it?"


def test_the_events_are_found() -> None:
    found = [event for name in SOURCES for event in events(ast.parse((ROOT / name).read_text("utf-8")))]
    assert {"link_up", "amqp.link_up", "session_lost"} <= set(found)
    assert len(found) > 140


#: The share of public classes, functions and methods that have one. It may grow; what has none says all by its name.
DOCUMENTED = 0.87


def test_what_is_public_says_what_a_caller_needs() -> None:
    """Units, errors, and where a rule comes from are for the reader to judge; that there is a docstring is counted."""
    found = {f"{path}:{name}": said for path in sources(ROOT).values() for name, said in public(path)}
    silent = [name for name, said in found.items() if not said]
    assert len(silent) / len(found) <= 1 - DOCUMENTED, "\n".join(["more of these need a docstring:", *silent])


def test_a_name_without_a_docstring_is_found(tmp_path: Path) -> None:
    """Of each kind; what is private, or within a function, needs none."""
    path = tmp_path / "module.py"
    path.write_text(
        'class Told:\n    """It is."""\n    def method(self): ...\n    def _own(self): ...\n'
        "class _Private:\n    def method(self): ...\nasync def function():\n    def within(): ...\n"
    )
    assert list(public(path)) == [("1: Told", True), ("3: method", False), ("7: function", False)]
