"""Messages between keeper and main process survive any cutting of the stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker_agent.keeper.wire import BadFrame, Frames, encode

MESSAGES = st.lists(
    st.tuples(st.dictionaries(st.sampled_from(["op", "text"]), st.text()), st.binary(max_size=200)), max_size=8
)


@given(messages=MESSAGES, size=st.integers(1, 50))
def test_messages_come_out_as_they_went_in(messages: list[tuple[dict[str, str], bytes]], size: int) -> None:
    """In pieces of any size, with newlines in their data."""
    sent = b"".join(encode(message, len(data)) + data for message, data in messages)
    frames = Frames()
    received = [found for start in range(0, len(sent), size) for found in frames.feed(sent[start : start + size])]

    assert [({k: v for k, v in message.items() if k != "bytes"}, data) for message, data in received] == messages


@pytest.mark.parametrize("line", [b"hello\n", b"[1]\n", b"\xff\n"])
def test_nonsense_is_refused(line: bytes) -> None:
    with pytest.raises(BadFrame):
        Frames().feed(line)


@pytest.mark.parametrize("depth", [101, 900])
def test_what_no_message_can_carry_is_refused_where_it_arrives(depth: int) -> None:
    """The journal would keep it, and the main process fail at it."""
    line = b'{"ev":"event","value":%s%s}\n'
    with pytest.raises(BadFrame, match="in one another"):
        Frames().feed(line % (b"[" * depth, b"]" * depth))
    (message, _) = Frames().feed(line % (b"[" * 99, b"]" * 99))[0]
    assert message["ev"] == "event"
    assert Frames().feed(b'{"value":["%s"]}\n' % (b"[" * 1_000))[0][0] == {"value": ["[" * 1_000]}
