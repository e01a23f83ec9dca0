"""Secrets never reach the log, wherever the pieces of the output end."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet import defer

from contracts.messages import Event
from master_bridge.buildbot.output.logs import CommandLog
from master_bridge.buildbot.output.redaction import Redactor

KEY = "-----BEGIN KEY-----\nAAAA\nBBBB\n-----END KEY-----"


def redacted(pieces: list[str], secrets: dict[str, str]) -> str:
    redactor = Redactor(lambda: secrets)
    return "".join(redactor.feed(piece) for piece in pieces) + redactor.flush()


def test_a_secret_across_two_pieces_is_found() -> None:
    """Cut at every place, also into single characters."""
    text = "password hunter2 and hunter2\n"
    for cut in range(len(text)):
        assert redacted([text[:cut], text[cut:]], {"hunter2": "<pw>"}) == "password <pw> and <pw>\n"
    assert redacted(list(text), {"hunter2": "<pw>"}) == "password <pw> and <pw>\n"


def test_a_key_of_many_lines_is_found_on_a_terminal_too() -> None:
    """Line by line, with LF and with CR LF."""
    for text in (KEY, KEY.replace("\n", "\r\n")):
        assert redacted(text.splitlines(keepends=True), {KEY: "<key>"}) == "<key>"


def test_the_longer_of_two_secrets_counts() -> None:
    """One may begin like the other; what turns out to be none is given out."""
    secrets = {"abc": "<short>", "abcdef": "<long>"}
    assert redacted(["ab", "c", "def abcde", "x abc"], secrets) == "<long> <short>dex <short>"


@given(
    secrets=st.lists(st.text("ab\n", min_size=1, max_size=5), min_size=1, max_size=3, unique=True),
    pieces=st.lists(st.text("ab\nc", max_size=6), max_size=8),
)
@example(secrets=["bb"], pieces=["bbb", "b"])  # the match that counts is the first of those that overlap
def test_no_cut_lets_a_secret_through(secrets: list[str], pieces: list[str]) -> None:
    """No piece of the result holds a secret that the whole text, redacted at once, does not hold."""
    names = {secret: f"<{number}>" for number, secret in enumerate(secrets)}
    result = redacted(pieces, names)
    for secret in sorted(secrets, key=len, reverse=True):
        assert secret not in result or secret.strip("\n") == ""


def test_a_secret_in_a_line_that_is_cut_is_not_stored() -> None:
    """A line over 64 KiB is cut in the middle of the secret, and the output comes in two events."""
    stored: list[Any] = []

    def update(key: str, value: Any) -> defer.Deferred[Any]:
        stored.append(value)
        return defer.succeed(None)

    log = CommandLog("utf-8", update, lambda: {"hunter2": "<pw>"})
    text = b"x" * (64 * 1024 - 5) + b"hunter2" + b"\n"
    for number, data in enumerate((text[: 64 * 1024 - 3], text[64 * 1024 - 3 :]), 1):
        log.add(Event(session="s", seq=number, n=1, kind="stdout", data=data))
    log.flush()
    log.finish()
    assert "<pw>" in "".join(stored).replace("\n", "")
    assert "hunter2" not in "".join(stored).replace("\n", "")


def test_a_header_without_a_line_end_is_a_line_of_its_own() -> None:
    """What comes below it at the process's end, and at the command's, does not continue it."""
    stored: list[Any] = []

    def update(key: str, value: Any) -> defer.Deferred[Any]:
        stored.append((key, value))
        return defer.succeed(None)

    log = CommandLog("utf-8", update)
    log.add(Event(session="s", seq=1, n=1, kind="stdout", data=b"out"))
    log.add(Event(session="s", seq=2, n=1, kind="header", data=b"stat: nothing"))
    log.end_lines("program finished with exit code 2\n")
    log.add(Event(session="s", seq=3, n=1, kind="header", data=b"last"))
    log.finish()
    assert stored == [
        ("header", "stat: nothing\n"),
        ("stdout", "out"),
        ("header", "program finished with exit code 2\nlast\n"),
    ]
