"""Text that UTF-8 cannot carry: it leaves as U+FFFD, and does not come in."""

from __future__ import annotations

import json

import pytest

from contracts.codec import decode, encode
from contracts.errors import BadMessage
from contracts.messages import Event, Status, WorkerInfo
from contracts.readable import has_lone, readable, readable_values

ODD, SEEN = "caf\udce9", "caf\ufffd"


def _event(value: object) -> Event:
    return Event(session="s", seq=1, n=1, kind="update", value=value, infrastructure=ODD)


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (["files", [ODD, "\ud800x", "\u00e9"]], ["files", [SEEN, "\ufffdx", "\u00e9"]]),
        (["a", {ODD: {"b": ODD}}], ["a", {SEEN: {"b": SEEN}}]),
        (["a", [1, 1.5, True, None]], ["a", [1, 1.5, True, None]]),
    ],
)
def test_what_is_sent_is_utf_8(value: object, seen: object) -> None:
    """Wherever it stands in a message."""
    sent = encode(_event(value))
    got = decode(sent.body, sent.headers)
    assert isinstance(got, Event)
    assert (got.value, got.infrastructure) == (seen, SEEN)


def test_with_bulk_data_too() -> None:
    """The message's text is a header then, its bytes stay as they are."""
    event = Event(session="s", seq=1, n=1, kind="log", value=ODD, data=b"caf\xe9")
    sent = encode(event)
    got = decode(sent.body, sent.headers)
    assert isinstance(got, Event)
    assert (got.value, got.data) == (SEEN, b"caf\xe9")


def test_all_that_an_agent_says_of_itself() -> None:
    """Its folders, its environment, the reasons of its self-check."""
    worker = WorkerInfo(version="1", basedir=f"/{ODD}", environ={ODD: ODD}, admin=ODD)
    said = readable_values(worker.model_dump())
    assert said == {**worker.model_dump(), "basedir": f"/{SEEN}", "environ": {SEEN: SEEN}, "admin": SEEN}
    status = Status(
        instance="i", agent=ODD, epoch=1, address="agent.a.b.c", version="1", now=1.0, state="unwell", reasons=(ODD,),
        slots=(), capabilities=(), queues=(),
    )  # fmt: skip
    got = decode(encode(status).body)
    assert isinstance(got, Status)
    assert (got.agent, got.reasons) == (SEEN, (SEEN,))


@pytest.mark.parametrize("text", [b"\\udce9", b"\\uDCE9", b"\\ud83d", b"\xed\xb3\xa9", b"\xe9"])
def test_what_comes_is_utf_8(text: bytes) -> None:
    """Half a surrogate pair, escaped or not, and other encodings: no message of the protocol, and said so."""
    body = json.dumps({"t": "event", "v": 1, "session": "s", "seq": 1, "n": 1, "kind": "update", "value": ["a", "X"]})
    with pytest.raises(BadMessage, match=r"(?i)utf-8"):
        decode(body.encode().replace(b"X", text))


def test_a_whole_pair_is_a_character() -> None:
    """JSON writes what lies beyond the first plane as two escapes."""
    body = (
        b'{"t": "event", "v": 1, "session": "s", "seq": 1, "n": 1, "kind": "update", "value": ["a", "\\ud83d\\ude00"]}'
    )
    got = decode(body)
    assert isinstance(got, Event)
    assert got.value == ["a", "\U0001f600"]


def test_readable_leaves_what_is_well() -> None:
    """Only halves of pairs are replaced, one by one."""
    assert readable("\u00e9 \U0001f600") == "\u00e9 \U0001f600"
    assert readable("\udce9\udce9") == "\ufffd\ufffd"
    assert not has_lone({"a": ["\u00e9", 1]})
    assert has_lone({"\udce9": 1})
