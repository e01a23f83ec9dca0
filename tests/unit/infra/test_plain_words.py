"""The pages speak plainly: what had to be decoded once does not come back."""

from __future__ import annotations

import re

import pytest

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
RECORDED = ("CHANGELOG.md", "docs/faults.md", "docs/parity.md")


@pytest.mark.parametrize("name", [page for page in PAGES if page not in RECORDED])
def test_a_page_has_no_word_that_must_be_decoded(name: str) -> None:
    text = re.sub(r"^<!-- table .*?^<!-- end of table", "", (ROOT / name).read_text("utf-8"), flags=re.M | re.S)
    found = {match[0]: plain for words, plain in DECODED.items() for match in re.finditer(words, text, flags=re.I)}
    assert found == {}
