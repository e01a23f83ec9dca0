"""The glossary is in order, each word once, and knows the words of the protocol; each page can be reached."""

from __future__ import annotations

import re
from pathlib import Path

from tests.harness.tree import ROOT, project_files

DOCS = ROOT / "docs"


def rows() -> list[tuple[str, str]]:
    found = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", (DOCS / "glossary.md").read_text(encoding="utf-8"), flags=re.M)
    return [(word, meaning) for word, meaning in found if word != "word"]


def test_words_are_sorted_and_each_is_a_sentence() -> None:
    words = [word for word, _ in rows()]
    assert words == sorted(words)
    assert len(set(words)) == len(words)
    assert [word for word, meaning in rows() if not meaning.endswith(".")] == []
    assert [word for word, meaning in rows() if len(re.findall(r"[.?!](?:\s|$)", meaning)) > 3] == []


def test_the_words_of_the_protocol_are_explained() -> None:
    """Those of its own table of words."""
    table = (DOCS / "protocol.md").read_text(encoding="utf-8").partition("## Words")[2].partition("\n## ")[0]
    known = {word.partition(" (")[0] for word, _ in rows()}
    assert {word for word in re.findall(r"^\| (\w+) \|", table, flags=re.M) if word != "word"} <= known


def test_each_page_is_in_the_index() -> None:
    """A page that the index does not name is found by nobody."""
    index = DOCS / "README.md"
    linked = {
        (index.parent / link).resolve() for link in re.findall(r"\]\(([^)#]+)", index.read_text(encoding="utf-8"))
    }
    pages = {ROOT / name for name in project_files() if name.startswith("docs/") and Path(name).suffix == ".md"}
    assert {str(page.relative_to(ROOT)) for page in pages - linked - {index}} == set()
