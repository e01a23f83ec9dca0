"""The diagrams in docs/ are those that the tables give, and a stale page is found."""

from __future__ import annotations

import pytest

from docs import generate_diagrams


def test_the_pages_are_as_the_tables_are() -> None:
    """A change of a table without `make docs` is caught here."""
    assert [path.name for path in generate_diagrams.stale()] == []


def test_a_changed_table_makes_a_page_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in the page is compared, not only that something does."""
    monkeypatch.setattr(generate_diagrams, "TABLES", {"door": ("door.md", "nowhere:TABLE")})
    monkeypatch.setattr(generate_diagrams, "drawn", lambda name: f"\nas {name} is now\n")
    page = "before\n<!-- table door -->\n\nas it was\n\n<!-- end of table door -->\nafter\n"
    expected = page.replace("as it was", "as door is now")
    assert generate_diagrams.renewed(page, "door.md") == expected
    assert generate_diagrams.renewed(expected, "door.md") == expected


def test_a_diagram_without_a_place_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that lost its lines would never be stale again."""
    monkeypatch.setattr(generate_diagrams, "TABLES", {"door": ("door.md", "nowhere:TABLE")})
    with pytest.raises(LookupError, match="table door"):
        generate_diagrams.renewed("nothing of it here\n", "door.md")
