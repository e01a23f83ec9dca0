"""A secret is found in every form in which an agent or the bridge writes it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from master_bridge.buildbot.output.redaction import Redactor, redact
from worker_agent.keeper.processes.argv import CommandLine

SECRETS = (
    "hunter2",
    "two\nlines",
    "two\r\nlines\r\n",
    "ends in a line end\n",
    "back\\slash\\",
    "it's",
    'say "it"',
    "both ' and \"",
    "tab\there",
    "pässwörd",
    "сек рет€",
    "\U0001f600 smile",
    "nul\0\x7f\x1b[31m",
    "per%cent+plus&amp;",
    "$HOME `x` $(y)",
    "-----BEGIN KEY-----\nAAAA\n-----END KEY-----\n",
)
PIECE = 5
#: How the text around it is written; `%s` is the secret, in the middle of an argument.
WAYS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "a list of bytes": lambda text: str([b"echo", text.encode(), b'x"']),
    "a list of bytes in latin-1": lambda text: str([text.encode("latin-1", "replace")]),
    "a list of texts": lambda text: str(["echo", text]),
    "an exception": lambda text: repr(ValueError(text)),
    "ascii": ascii,
    "json": json.dumps,
    "json with letters": lambda text: json.dumps(text, ensure_ascii=False),
    "a shell's word": shlex.quote,
    "a shell's word in a list": lambda text: str([b"sh", b"-c", shlex.join(["echo", text]).encode()]),
    "a shell's line in a shell's word": lambda text: shlex.quote(shlex.join(["echo", text])),
    "a list in json": lambda text: json.dumps({"argv": str([text.encode()])}),
    "a url": lambda text: quote(text, safe=""),
    "a path": quote,
    "a form": quote_plus,
    "a terminal": lambda text: text.replace("\n", "\r\n"),
}


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("around", ["%s", "a=%s.", "'%s", '"%s"', 'it\'s "%s"'])
def test_each_form_is_replaced(secret: str, way: str, around: str) -> None:
    """No five characters of it are left that would not stand there anyway."""
    if way == "a list of bytes in latin-1" and any(ord(letter) > 0xFF for letter in secret):
        return  # no agent of that encoding can be given it
    bare = str.maketrans("", "", "'\"\\[], ")  # which quotes stand around it depends on what is in it
    got = redact(WAYS[way](around % secret), {secret: "<pw>"})
    assert "<pw>" in got
    got, harmless, form = (text.translate(bare) for text in (got, WAYS[way](around % "<pw>"), WAYS[way](secret)))
    pieces = {form[at : at + PIECE] for at in range(len(form) - PIECE + 1)}
    assert not [piece for piece in pieces if piece in got and piece not in harmless], got


@given(secret=st.text(min_size=4).filter(lambda text: len(text.strip()) >= 4), cut=st.integers(0, 400))
@example(secret="a'b\"c\\\n€", cut=17)
def test_an_agents_header_never_holds_one_in_two_pieces_either(secret: str, cut: int) -> None:
    """`argv: [b'…']` and the line above it, as the agent's own code writes them."""
    try:
        line = CommandLine.of(["printf", secret, f"--x={secret}"], "utf-8")
        other = CommandLine.of(["printf", "<pw>", "--x=<pw>"], "utf-8")
    except UnicodeEncodeError:
        return  # nor could it be run
    for text, bare in ((line.shown, other.shown), (line.display, other.display)):
        redactor = Redactor(lambda: {secret: "<pw>"})
        got = redactor.feed(text[:cut]) + redactor.feed(text[cut:]) + redactor.flush()
        plain = str.maketrans("", "", "\"'")
        assert got.translate(plain) == bare.translate(plain)


def test_a_plain_secret_has_one_form() -> None:
    """What needs no escape costs one look through the text, as with Buildbot."""
    from master_bridge.buildbot.output.secret_forms import forms

    assert forms("correct-horse-battery-staple") == {"correct-horse-battery-staple"}


def test_short_forms_are_not_looked_for() -> None:
    """The letter "a" of a secret "a" and a line end stands everywhere."""
    assert redact("a banana\n", {"a\n": "<pw>"}) == "a banan<pw>"
