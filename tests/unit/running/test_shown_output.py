"""What agents print, on its way to people and programs."""

from __future__ import annotations

import io
import sys

import pytest

from master_bridge.cli.shown_output import ShownOutput, tame


class Stream(io.TextIOWrapper):
    """Standard output as a file or as a terminal."""

    def __init__(self, terminal: bool) -> None:
        super().__init__(io.BytesIO())
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def written(monkeypatch: pytest.MonkeyPatch, *pieces: bytes, prefixed: bool, terminal: bool = False) -> bytes:
    stream = Stream(terminal)
    monkeypatch.setattr(sys, "stdout", stream)
    output = ShownOutput(prefixed=prefixed)
    for piece in pieces:
        output.write("a\x1b1", "stdout", piece)
    output.finish()
    raw = stream.buffer
    assert isinstance(raw, io.BytesIO)
    return raw.getvalue()


def test_lines_of_several_agents_are_whole_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert written(monkeypatch, b"o", b"ne\ntw", b"o", prefixed=True) == b"a\\x1b1: one\na\\x1b1: two\n"


def test_one_agents_output_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytes(range(256))
    assert written(monkeypatch, data[:100], data[100:], prefixed=False) == data


def test_nothing_orders_a_terminal_about(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = written(monkeypatch, b"\x1b]0;title\x07a\tb\r\n\xff\n", prefixed=False, terminal=True)
    assert shown == b"\\x1b]0;title\\x07a\tb\n\\xff\n"
    assert tame("äöü €\n".encode()) == "äöü €\n".encode()
