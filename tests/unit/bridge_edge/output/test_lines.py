"""Text as whole lines: what Buildbot's own splitter stores, wherever the pieces of output end."""

from __future__ import annotations

import itertools

import pytest
from buildbot.util.lineboundaries import LineBoundaryFinder
from hypothesis import example, given
from hypothesis import strategies as st

from master_bridge.buildbot.output.lines import LINE_MAX, UNREAD_MAX, Lines, cut_marked

TEXT = st.lists(
    st.sampled_from(["a", "bc", "\n", "\r", "\r\n", "\x08", "\x08\x08", "\033[u", "\033[2J", "\033[1;2H", "\033[", "é"])
).map("".join)


def whole(text: str) -> str:
    """What Buildbot's splitter makes of `text` in one piece."""
    finder = LineBoundaryFinder()
    return (finder.append(text) or "") + (finder.flush() or "")


@given(TEXT, st.lists(st.integers(min_value=0, max_value=40)))
@example("a\r\nb", [2])
@example("a\033[2Jb", [2, 3])
@example("a\x08\x08b", [2])
def test_pieces_make_no_difference(text: str, cuts: list[int]) -> None:
    """In any pieces, the result is Buildbot's for the whole text."""
    lines = Lines()
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    got = "".join(lines.append(text[start:end]) for start, end in itertools.pairwise(edges)) + lines.flush()
    assert got + ("" if got.endswith("\n") or not got else "\n") == whole(text)


@given(TEXT)
def test_every_append_returns_whole_lines(text: str) -> None:
    """What is returned ends with a line end, or is empty."""
    got = Lines().append(text)
    assert not got or got.endswith("\n")


@pytest.mark.parametrize("letter", ["x", "é", "\U0001f600"])
@pytest.mark.parametrize("step", [1000, 10**9])
@pytest.mark.parametrize("end", ["\n", ""])
def test_a_line_is_never_cut_for_those_who_read_it(letter: str, step: int, end: str) -> None:
    """300,000 characters in one line arrive as such, in any pieces, with the line end that was printed, or none."""
    text = "first\n" + letter * 300_000 + end
    lines = Lines()
    assert "".join(lines.append(text[at : at + step]) for at in range(0, len(text), step)) + lines.flush() == text


@pytest.mark.parametrize("letter", ["x", "é", "\U0001f600"])
@pytest.mark.parametrize("step", [1000, 10**9])
def test_a_line_without_end_comes_in_parts_that_are_stored_whole(letter: str, step: int) -> None:
    """Where nobody reads, what is kept back is bounded; together the parts are the text."""
    text = letter * 300_000 + "\nend\n"
    lines = Lines()
    parts = [lines.append(text[at : at + step], UNREAD_MAX) for at in range(0, len(text), step)]
    assert "".join(parts) + lines.flush() == text
    for part in filter(None, parts[:-1] if step == 1000 else ()):
        assert not part.endswith("\n") or len(part.encode()) <= LINE_MAX + 5
        assert part.endswith("\n") or len(part.encode()) > LINE_MAX - 4


@pytest.mark.parametrize("letter", ["x", "é", "\U0001f600"])
def test_a_long_line_is_stored_as_several_and_nothing_is_missing(letter: str) -> None:
    """Each with the letter of its stream, none through a character, all but the last as long as can be."""
    got = cut_marked(f"oshort\ne{letter * 300_000}\no\n")
    first, *pieces, last, rest = got.split("\n")
    assert (first, last, rest) == ("oshort", "o", "")
    assert {piece[0] for piece in pieces} == {"e"}
    assert "".join(piece[1:] for piece in pieces) == letter * 300_000
    assert all(len(piece[1:].encode()) <= LINE_MAX for piece in pieces)
    assert all(len(piece[1:].encode()) > LINE_MAX - 4 for piece in pieces[:-1])


def test_a_line_of_just_the_limit_stays_whole() -> None:
    """No empty line follows one that fits exactly."""
    lines = Lines()
    assert lines.append("x" * LINE_MAX, UNREAD_MAX) + lines.append("\n") == "x" * LINE_MAX + "\n"
    assert cut_marked("o" + "x" * LINE_MAX + "\n") == "o" + "x" * LINE_MAX + "\n"
